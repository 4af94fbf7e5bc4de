//! Which samples: results of other days can be compared only where they are of the same.

use sha2::{Digest, Sha256};

use super::Data;
use crate::dataset::Picture;
use crate::onnx::hex;

impl Data {
    /// SHA-256 of ids, concepts, styles, texts, prompts and labels, and of the names of images; not of what is in them, nor
    /// of the folders they lie in.
    pub fn sha256(&self) -> String {
        let mut all = Sha256::new();
        let mut add = |part: Option<&str>| {
            // Lengths keep parts apart.
            all.update(part.map_or(u64::MAX, |part| part.len() as u64).to_le_bytes());
            all.update(part.unwrap_or_default());
        };
        for row in &self.set.rows {
            add(Some(&row.id));
            add(row.concept.as_deref());
            add(row.style.as_deref());
            row.texts.iter().flat_map(|texts| texts.both()).for_each(|text| add(Some(text)));
            row.images.iter().flat_map(|images| images.both()).for_each(|image| add(Some(&name(image))));
        }
        if let Some(zero_shot) = &self.zero_shot {
            zero_shot.prompts().iter().for_each(|prompt| add(Some(prompt)));
            for image in &zero_shot.images {
                add(Some(&image.label.to_string()));
                add(Some(&name(&image.image)));
            }
        }
        hex(&all.finalize())
    }
}

fn name(image: &Picture) -> String {
    match image {
        Picture::File(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        Picture::Member { name, .. } => name.clone(),
    }
}
