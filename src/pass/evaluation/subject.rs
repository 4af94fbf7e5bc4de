//! What is evaluated, as embeddings with what is known of each row.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Data, Subject};
use crate::config::Config;
use crate::dataset::{DataSet, ZeroShot};
use crate::onnx::{Graph, Hints, Modality, Model, Source};
use crate::pass::batches::Runner;
use crate::pass::data::{preparation, prepared_with};
use crate::pass::evaluate::{EmbeddedSide, EvaluationData, embed_side};
use crate::pass::padding::padding_counts;
use crate::pass::site::Site;
use crate::pass::stored::kind;
use crate::pass::{Error, ModelFiles};
use crate::report::{FileId, Unwell};
use crate::safeground::check_widths;
use crate::safeground::health::Ailment;

/// What is known of the samples.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tags {
    /// A name a quadruplet; none where that is not known.
    pub ids: Vec<String>,
    /// Their concepts.
    pub concepts: Vec<Option<String>>,
    /// Their styles.
    pub styles: Vec<Option<String>>,
    /// Of the zero-shot images: the label of each.
    pub right: Vec<usize>,
    /// Prompts a label; 0 where there is no zero-shot set.
    pub templates: usize,
}

impl Tags {
    /// Of a data set.
    fn of(set: &DataSet, zero_shot: Option<&ZeroShot>) -> Self {
        Self {
            ids: set.rows.iter().map(|row| row.id.clone()).collect(),
            concepts: set.rows.iter().map(|row| row.concept.clone()).collect(),
            styles: set.rows.iter().map(|row| row.style.clone()).collect(),
            right: zero_shot.map_or(vec![], |set| set.images.iter().map(|image| image.label).collect()),
            templates: zero_shot.map_or(0, |set| set.templates.len()),
        }
    }
}

/// One modality of the data, embedded, with what made it.
#[derive(Clone)]
pub struct MadeSide {
    /// The embeddings.
    pub rows: Arc<EmbeddedSide>,
    /// The model file, or the file they were stored in.
    pub file: FileId,
    /// SHA-256 of all files of that model.
    pub models: Vec<String>,
    /// What was found wrong when it was embedded.
    pub ailments: Vec<Ailment>,
    /// What the embeddings depend on, beside the data: the model's files, and what samples are prepared with.
    identity: Option<[Value; 2]>,
}

/// The embeddings of a data set by one model.
#[derive(Clone)]
pub struct Embedded {
    /// By the text tower, and by the vision tower.
    pub sides: [Option<MadeSide>; 2],
    /// Why a side is not there.
    pub absent: [Option<String>; 2],
    /// What is known of the rows.
    pub tags: Tags,
}

/// What embeds, and what.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    pub runner: Runner<'a>,
    pub config: &'a Config,
    pub hints: &'a Hints,
    pub data: &'a Data,
}

impl Embedded {
    /// Checks that the sides go together.
    ///
    /// # Errors
    /// If they share no space.
    pub fn new(sides: [Option<MadeSide>; 2], absent: [Option<String>; 2], tags: Tags) -> Result<Self, Error> {
        let failed = |source| Error::SafeGround { what: "embeddings".to_owned(), source };
        if let [Some(text), Some(image)] = &sides {
            check_widths(&text.rows.safe, &image.rows.safe).map_err(failed)?;
        }
        Ok(Self { sides, absent, tags })
    }

    /// Embeds what the towers of a model and the data have in common. A tower that `other` has too, of the same files and
    /// with samples prepared the same way, is not run again.
    pub fn by(scene: Scene, files: &ModelFiles, who: &'static str, other: Option<&Self>) -> Result<Self, Error> {
        let Scene { runner, config, hints, data } = scene;
        let models = files.inputs().iter().map(|input| Model::open(input)).collect::<Result<Vec<_>, _>>()?;
        let graphs = models.iter().map(Graph::new).collect::<Result<Vec<_>, _>>()?;
        let sites = Site::find_all(files, &graphs, hints)?;
        let mut used = vec![];
        let absent = [Modality::Text, Modality::Vision].map(|tower| {
            let site = sites.iter().map(|(_, site)| site).find(|site| site.modality() == tower);
            match site {
                None => Some(format!("the {who} has no {tower} tower")),
                Some(_) if !data.set.has(kind(tower)) => Some(format!("the data have no {}", kind(tower).plural())),
                Some(site) if !site.tower.pooled => {
                    let end = &site.tower.embedding;
                    Some(format!(
                        "the {tower} tower of the {who} ends in '{end}', which is a row a token and no embedding"
                    ))
                }
                Some(site) => {
                    used.push(site);
                    None
                }
            }
        });
        if used.is_empty() {
            let reasons: Vec<String> = absent.into_iter().flatten().collect();
            return Err(Error::Conflict {
                reason: format!("nothing can be evaluated: {}", reasons.join("; ")),
                help: "give a model with an embedding of texts or images, and data with the same",
            });
        }
        let zero_shot = data.zero_shot.as_ref();
        let stored = data.set.tensors.is_some() && zero_shot.is_none();
        let prepared = preparation(config, used.iter().copied(), stored)?;
        let on = EvaluationData { set: &data.set, zero_shot, prepared: &prepared };
        let mut sides = [None, None];
        for site in used {
            let which = usize::from(site.modality() == Modality::Vision);
            let model = site.graph.model;
            let hashes: Vec<String> =
                model.sources().iter().map(|source: &Source| source.sha256().to_owned()).collect();
            // Where the tower is in its graph counts too, for hints can say so.
            let identity = [json!([hashes, format!("{:?}", site.tower)]), prepared_with(config, site.modality())?];
            let known = other.and_then(|other| other.sides[which].clone());
            let known = known.filter(|known| known.identity.as_ref() == Some(&identity));
            sides[which] = Some(match known {
                Some(known) => known,
                None => {
                    let padding = match site.modality() {
                        Modality::Text => padding_counts(runner, site, on)?,
                        Modality::Vision => None,
                    };
                    if let Some(ailment) = padding {
                        // Embedding all the data can take hours: it is said now, too.
                        runner.observer.warn(&Unwell { who, ailment }.sentence());
                    }
                    MadeSide {
                        rows: Arc::new(embed_side(runner, site, None, on, who)?),
                        file: FileId { path: model.path().to_owned(), sha256: model.sha256().to_owned() },
                        models: hashes,
                        ailments: padding.into_iter().collect(),
                        identity: Some(identity),
                    }
                }
            });
        }
        Self::new(sides, absent, Tags::of(&data.set, zero_shot))
    }

    /// Takes the tower that is not there from another model: who edits one tower ships it with the other as it was. Says
    /// what was taken.
    ///
    /// # Errors
    /// If they do not go together.
    pub fn complete(&mut self, other: &Self, [own, others]: [&str; 2]) -> Result<Vec<String>, Error> {
        let mut notes = vec![];
        for (which, tower) in ["text", "vision"].into_iter().enumerate() {
            if self.sides[which].is_none() && other.sides[which].is_some() {
                self.sides[which].clone_from(&other.sides[which]);
                self.absent[which] = None;
                notes.push(format!(
                    "the {own} has no {tower} tower of its own here and is measured with that of the {others}"
                ));
            }
        }
        *self = Self::new(self.sides.clone(), self.absent.clone(), self.tags.clone())?;
        Ok(notes)
    }

    /// Checks that another model was given the same samples, as far as that is known; a note, where it is not.
    ///
    /// # Errors
    /// [`Error::Conflict`] if not.
    pub fn check_same_data(&self, other: &Self) -> Result<Option<String>, Error> {
        let (own, others) = (&self.tags, &other.tags);
        let unknown = own.ids.is_empty() || others.ids.is_empty();
        let zero_shot = own.templates == 0
            || others.templates == 0
            || (&own.right, own.templates) == (&others.right, others.templates);
        if self.rows() == other.rows() && (unknown || own.ids == others.ids) && zero_shot {
            return Ok(unknown.then(|| {
                "a file of embeddings does not tell which rows it has: model and baseline are taken to have the same, in the same order".to_owned()
            }));
        }
        Err(Error::Conflict {
            reason: format!(
                "model and baseline were not given the same samples: {} and {} quadruplets, {} and {} zero-shot images, or others",
                self.rows(),
                other.rows(),
                own.right.len(),
                others.right.len()
            ),
            help: "embed both from the same data, in the same order",
        })
    }

    /// A word where samples of a tower are prepared otherwise than for another model.
    pub fn prepared_otherwise(&self, other: &Self) -> Option<String> {
        let prepared = |side: &Option<MadeSide>| Some(side.as_ref()?.identity.as_ref()?[1].clone());
        let differs = |which: usize| {
            let both = prepared(&self.sides[which]).zip(prepared(&other.sides[which]));
            both.is_some_and(|(own, others)| own != others)
        };
        let of: Vec<&str> =
            [(0, "texts"), (1, "images")].into_iter().filter(|(w, _)| differs(*w)).map(|(_, n)| n).collect();
        (!of.is_empty())
            .then(|| format!("model and baseline prepare {} differently, each by its own files", of.join(" and ")))
    }

    /// The files that made the embeddings.
    pub fn files(&self) -> Vec<FileId> {
        let mut files: Vec<FileId> = self.sides.iter().flatten().map(|side| side.file.clone()).collect();
        files.dedup();
        files
    }

    /// One side's embeddings.
    pub fn side(&self, which: usize) -> Option<&Arc<EmbeddedSide>> {
        self.sides[which].as_ref().map(|side| &side.rows)
    }

    /// How many quadruplets.
    pub fn rows(&self) -> usize {
        self.sides.iter().flatten().map(|side| side.rows.safe.rows().nrows()).next().unwrap_or(0)
    }
}

impl MadeSide {
    /// What was stored in a file.
    pub fn stored(rows: EmbeddedSide, file: FileId, models: Vec<String>, ailments: Vec<Ailment>) -> Self {
        Self { rows: Arc::new(rows), file, models, ailments, identity: None }
    }
}

impl Subject {
    /// The configuration, with what its samples are prepared with.
    pub fn config(&self, config: &Config) -> Config {
        match self {
            Self::Files { tokenizer, preprocessor, .. } => {
                Config { tokenizer: tokenizer.clone(), preprocessor: preprocessor.clone(), ..config.clone() }
            }
            Self::Stored(_) => config.clone(),
        }
    }
}
