//! Embeddings in a file: to be evaluated again without the model, or made by others.
//!
//! Safetensors with `embed.safe_text`, `embed.unsafe_text`, `embed.safe_image`, `embed.unsafe_image` (a row a quadruplet)
//! and perhaps `zero_shot.prompts` and `zero_shot.images`, all F32. Our own files tell in their metadata, under
//! `uwm.embeddings`, what each row is (`docs/metrics.md`); others need not.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use ndarray::{Array2, ArrayView1};
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use super::subject::{Embedded, MadeSide, Tags};
use crate::onnx::Source;
use crate::pass::Error;
use crate::pass::evaluate::{Bad, EmbeddedSide};
use crate::pass::tensors::{read, write_header};
use crate::report::FileId;
use crate::safeground::health::Ailment;
use crate::safeground::{self, Embeddings};

const KEY: &str = "uwm.embeddings";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    version: u32,
    /// What made texts and images: SHA-256 of all files of the models.
    models: [Vec<String>; 2],
    tags: Tags,
    /// What was found wrong with either tower.
    ailments: [Vec<Ailment>; 2],
    /// Quadruplets without an embedding on either side.
    bad_quadruplets: BTreeSet<usize>,
    /// Zero-shot images without one.
    bad_images: BTreeSet<usize>,
}

const VERSION: u32 = 1;

/// Names of the tensors of a side: safe, unsafe, zero-shot.
const NAMES: [[&str; 3]; 2] = [
    ["embed.safe_text", "embed.unsafe_text", "zero_shot.prompts"],
    ["embed.safe_image", "embed.unsafe_image", "zero_shot.images"],
];

/// Writes the embeddings of a model.
///
/// # Errors
/// If it cannot be written.
pub fn store(file: &File, embedded: &Embedded) -> io::Result<()> {
    let sides = [embedded.side(0), embedded.side(1)];
    let bad = sides.into_iter().flatten().fold(Bad::default(), |all, side| all.or(&side.bad));
    let of = embedded.sides.each_ref();
    let header = Header {
        version: VERSION,
        models: of.map(|side| side.as_ref().map_or(vec![], |side| side.models.clone())),
        tags: embedded.tags.clone(),
        ailments: of.map(|side| side.as_ref().map_or(vec![], |side| side.ailments.clone())),
        bad_quadruplets: bad.quadruplets,
        bad_images: bad.images,
    };
    let mut parts: Vec<(&str, &Array2<f32>)> = vec![];
    for (side, names) in sides.into_iter().zip(NAMES) {
        let Some(side) = side else { continue };
        let tensors = [Some(&side.safe), Some(&side.not_safe), side.zero_shot.as_ref()];
        parts.extend(names.into_iter().zip(tensors).filter_map(|(name, rows)| Some((name, rows?.rows()))));
    }
    let mut out = BufWriter::new(file);
    let shapes = parts.iter().map(|(name, rows)| ((*name).to_owned(), Dtype::F32, rows.shape().to_vec()));
    write_header(&mut out, HashMap::from([(KEY.to_owned(), serde_json::to_string(&header)?)]), shapes)?;
    for value in parts.iter().flat_map(|(_, rows)| rows.iter()) {
        out.write_all(&value.to_le_bytes())?;
    }
    out.flush()
}

/// Reads embeddings, our own or others'.
///
/// # Errors
/// [`Error::Embeddings`] if the file is not such a file, or a row is zero or not finite and such are not to be skipped.
pub fn load(path: &Path, skip_bad_samples: bool) -> Result<Embedded, Error> {
    let wrong = |reason: String| Error::Embeddings { path: path.to_owned(), reason };
    let file = Source::open(path).map_err(|e| wrong(e.to_string()))?;
    let tensors = SafeTensors::deserialize(file.bytes()).map_err(|e| wrong(e.to_string()))?;
    let (_, metadata) = SafeTensors::read_metadata(file.bytes()).map_err(|e| wrong(e.to_string()))?;
    let header = metadata.metadata().as_ref().and_then(|entries| entries.get(KEY));
    let header: Option<Header> = header
        .map(|json| serde_json::from_str(json))
        .transpose()
        .map_err(|e| wrong(format!("metadata '{KEY}': {e}")))?;
    if let Some(Header { version, .. }) = &header
        && *version != VERSION
    {
        return Err(wrong(format!("it is of version {version}, this tool knows version {VERSION}")));
    }
    let ours = header.is_some();
    let rows = |name: &str| -> Result<Option<(Embeddings, BTreeSet<usize>)>, Error> {
        if !tensors.names().contains(&name) {
            return Ok(None);
        }
        let shape = tensors.tensor(name).map_err(|e| wrong(e.to_string()))?.shape().to_vec();
        // Of rows without a number there may be any number.
        let (&[count, width], false) = (&shape[..], shape.contains(&0)) else {
            return Err(wrong(format!("its tensor '{name}' has shape {shape:?}")));
        };
        let values = read::<4>(&tensors, name, Dtype::F32, &shape).map_err(wrong)?;
        let values = values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        let rows = Array2::from_shape_vec((count, width), values).map_err(|e| wrong(e.to_string()))?;
        // Ours are of length 1 to the last bit that they were measured with, or 0 and known to be bad.
        if ours {
            let length = |row: ArrayView1<f32>| row.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
            let strange =
                rows.rows().into_iter().map(length).position(|l| l != 0.0 && (l - 1.0).abs().total_cmp(&1e-3).is_gt());
            return match strange {
                Some(row) => Err(wrong(format!("row {row} of '{name}' is not of length 1"))),
                None => Ok(Some((Embeddings::of_unit_rows(rows), BTreeSet::new()))),
            };
        }
        let (rows, bad) = Embeddings::normalise_each(rows);
        if let Some((&row, &what)) = bad.iter().next()
            && !skip_bad_samples
        {
            let what_of = format!("{}, {name}", path.display());
            return Err(Error::SafeGround { what: what_of, source: safeground::Error::Undefined { row, what } });
        }
        Ok(Some((rows, bad.into_keys().collect())))
    };
    let (tags, (models, ailments), bad): (_, ([_; 2], [_; 2]), _) = match header {
        None => (Tags::default(), Default::default(), Bad::default()),
        Some(Header { tags, ailments, models, bad_quadruplets, bad_images, .. }) => {
            (tags, (models, ailments), Bad { quadruplets: bad_quadruplets, images: bad_images })
        }
    };
    let mut sides = [None, None];
    for (side, [safe, not_safe, zero_shot]) in sides.iter_mut().zip(NAMES) {
        let parts = match (rows(safe)?, rows(not_safe)?) {
            (None, None) => continue,
            (Some(safe), Some(not_safe)) => [safe, not_safe],
            _ => return Err(wrong(format!("it has only one of '{safe}' and '{not_safe}'"))),
        };
        let zero_shot = rows(zero_shot)?.filter(|_| tags.templates > 0);
        let [(safe, bad_safe), (not_safe, bad_unsafe)] = parts;
        let mut bad = bad.clone();
        bad.quadruplets.extend(bad_safe.into_iter().chain(bad_unsafe));
        let zero_shot = zero_shot.map(|(rows, bad_images)| {
            bad.images.extend(bad_images);
            rows
        });
        *side = Some(EmbeddedSide { safe, not_safe, zero_shot, bad });
    }
    let [text, image] = sides;
    check(&tags, text.as_ref(), image.as_ref()).map_err(wrong)?;
    let id = FileId { path: path.to_owned(), sha256: file.sha256().to_owned() };
    let absent = [(&text, "text"), (&image, "image")]
        .map(|(side, what)| side.is_none().then(|| format!("{} has no {what} embeddings", path.display())));
    let mut made = models.into_iter().zip(ailments);
    let sides = [text, image].map(|side| {
        let (models, ailments) = made.next().unwrap_or_default();
        side.map(|side| MadeSide::stored(side, id.clone(), models, ailments))
    });
    Embedded::new(sides, absent, tags)
}

/// Whether the parts go together.
fn check(tags: &Tags, text: Option<&EmbeddedSide>, image: Option<&EmbeddedSide>) -> Result<(), String> {
    let sides: Vec<&EmbeddedSide> = text.into_iter().chain(image).collect();
    let Some(first) = sides.first() else {
        let names = NAMES.map(|[safe, not_safe, _]| format!("'{safe}' and '{not_safe}'"));
        return Err(format!("it has neither {}", names.join(" nor ")));
    };
    let rows = first.safe.rows().nrows();
    let of = |side: &&EmbeddedSide| [side.safe.rows().nrows(), side.not_safe.rows().nrows()];
    if sides.iter().any(|side| of(side) != [rows, rows]) {
        return Err(format!(
            "its parts have {:?} rows, and should have as many",
            sides.iter().map(of).collect::<Vec<_>>()
        ));
    }
    for (what, count) in [("ids", tags.ids.len()), ("concepts", tags.concepts.len()), ("styles", tags.styles.len())] {
        if count != rows && count != 0 {
            return Err(format!("its metadata have {count} {what} for {rows} rows"));
        }
    }
    if let Some(&bad) = sides.iter().flat_map(|side| &side.bad.quadruplets).find(|bad| **bad >= rows) {
        return Err(format!("its metadata call row {bad} bad, of {rows}"));
    }
    let zero_shot = |side: Option<&EmbeddedSide>| Some(side?.zero_shot.as_ref()?.rows().dim());
    if let (Some((prompts, _)), true) = (zero_shot(text), tags.templates > 0) {
        let labels = prompts / tags.templates;
        if prompts % tags.templates != 0 || tags.right.iter().any(|label| *label >= labels) {
            return Err(format!("its {prompts} prompts do not fit {} templates and its labels", tags.templates));
        }
    }
    if let Some((images, _)) = zero_shot(image)
        && images != tags.right.len()
    {
        return Err(format!("it has {images} zero-shot images and {} labels for them", tags.right.len()));
    }
    let widths: BTreeSet<usize> = sides
        .iter()
        .flat_map(|side| [Some(&side.safe), Some(&side.not_safe), side.zero_shot.as_ref()])
        .flatten()
        .map(|rows| rows.rows().ncols())
        .collect();
    if widths.len() > 1 {
        return Err(format!("its embeddings have several widths: {widths:?}"));
    }
    Ok(())
}
