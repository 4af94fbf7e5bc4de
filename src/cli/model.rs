//! Which model, and what the user says of it: for every command that must understand a graph.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::config::Config;
use crate::onnx::{Hints, InputRole, Modality};
use crate::pass::{Error, ModelFiles, find_models};

/// What the user says of a graph.
#[derive(Args, Clone)]
pub struct HintArgs {
    /// What an input of the graph is, where that is not found or found wrong: input_ids, attention_mask,
    /// token_type_ids, position_ids or pixel_values.
    #[arg(long = "input", value_name = "NAME=ROLE", value_parser = input_role)]
    inputs: Vec<(String, InputRole)>,
    /// The value a tower ends with, where that is not found or found wrong.
    #[arg(long = "embedding", value_name = "NAME")]
    embeddings: Vec<String>,
}

impl HintArgs {
    /// What is said.
    pub fn hints(&self) -> Hints {
        Hints { inputs: self.inputs.iter().cloned().collect(), embeddings: self.embeddings.clone(), only: None }
    }
}

/// The files of a model and what is known of their graphs.
#[derive(Args, Clone)]
pub struct FileArgs {
    /// The ONNX file, which may hold one tower or both; or a folder with such files, as Hugging Face and Optimum lay
    /// them out (onnx/text_model.onnx, onnx/vision_model.onnx).
    #[arg(conflicts_with_all = ["text", "vision"])]
    model: Option<PathBuf>,
    /// The ONNX file of the text tower.
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    /// The ONNX file of the vision tower.
    #[arg(long, value_name = "FILE")]
    vision: Option<PathBuf>,
    /// Of a folder, take the files of that precision: fp16 for text_model_fp16.onnx.
    #[arg(long, value_name = "NAME")]
    variant: Option<String>,
    #[command(flatten)]
    hints: HintArgs,
}

/// A model, and which of its layers are meant.
#[derive(Args, Clone)]
#[command(group = clap::ArgGroup::new("files").required(true).multiple(true).args(["model", "text", "vision"]))]
pub struct ModelArgs {
    #[command(flatten)]
    of: FileArgs,
    /// Which layers to edit, for a tower (text:out_proj, vision:fc2[8..]) or for both: roles, ranges of blocks, or
    /// globs on names of nodes, initializers or PyTorch modules, parted by commas [default: text:out_proj, vision:fc2].
    #[arg(long, value_name = "[TOWER:]LAYERS")]
    layers: Vec<String>,
}

fn input_role(text: &str) -> Result<(String, InputRole), String> {
    // Names may hold an equals sign, roles do not.
    let (name, role) = text.rsplit_once('=').ok_or("it is NAME=ROLE")?;
    Ok((name.to_owned(), role.parse()?))
}

impl FileArgs {
    /// The files; `None` if none is named.
    pub fn files(&self) -> Result<Option<ModelFiles>, Error> {
        if self.variant.is_some() && !self.model.as_ref().is_some_and(|path| path.is_dir()) {
            return Err(Error::Conflict {
                reason: "--variant chooses among the files of a folder, and no folder was given".to_owned(),
                help: "give the folder, or the file of that precision without --variant",
            });
        }
        Ok(Some(match (&self.model, &self.text, &self.vision) {
            (None, Some(text), Some(vision)) => ModelFiles::Pair { text: text.clone(), vision: vision.clone() },
            (None, Some(path), None) => ModelFiles::Single { path: path.clone(), only: Some(Modality::Text) },
            (None, None, Some(path)) => ModelFiles::Single { path: path.clone(), only: Some(Modality::Vision) },
            (Some(folder), ..) if folder.is_dir() => find_models(folder, self.variant.as_deref())?,
            (Some(path), ..) => ModelFiles::Single { path: path.clone(), only: None },
            (None, None, None) => return Ok(None),
        }))
    }

    /// Which precision of a folder's files is meant.
    pub fn variant(&self) -> Option<&str> {
        self.variant.as_deref()
    }

    /// What the user says of inputs and embeddings.
    pub fn hints(&self) -> Hints {
        self.hints.hints()
    }
}

impl ModelArgs {
    /// The files.
    pub fn files(&self) -> Result<ModelFiles, Error> {
        Ok(self.of.files()?.expect("clap requires one of them"))
    }

    /// What the user says of inputs and embeddings.
    pub fn hints(&self) -> Hints {
        self.of.hints()
    }

    /// Whether layers are named.
    pub fn names_layers(&self) -> bool {
        !self.layers.is_empty()
    }

    /// Puts the layers that are named into a configuration.
    pub fn choose_layers(&self, config: &mut Config) {
        let [text, vision] = by_tower(&self.layers);
        for (options, layers) in [(&mut config.text, text), (&mut config.vision, vision)] {
            // What is said of both towers means the one that is edited.
            if options.edit != Some(false) {
                options.layers = layers.or(options.layers.take());
            }
        }
    }
}

/// What is selected in the text tower and in the vision tower. A tower holds up to the next one in the same list; before
/// the first, both are meant.
fn by_tower(lists: &[String]) -> [Option<String>; 2] {
    let towers = [Modality::Text, Modality::Vision];
    let mut said: [Vec<&str>; 2] = [vec![], vec![]];
    for list in lists {
        let mut meant = None;
        for term in list.split(',').map(str::trim) {
            let named = |tower: &Modality| Some((*tower, term.strip_prefix(tower.name())?.strip_prefix(':')?));
            let (tower, term) =
                towers.iter().find_map(named).map_or((meant, term), |(tower, rest)| (Some(tower), rest));
            meant = tower;
            for (said, _) in said.iter_mut().zip(towers).filter(|(_, own)| meant.is_none_or(|meant| meant == *own)) {
                said.push(term);
            }
        }
    }
    said.map(|terms| (!terms.is_empty()).then(|| terms.join(",")))
}

/// A file in the folder of a model, or above it when that is called `onnx` (the Hugging Face layout).
pub fn find_beside(files: &ModelFiles, name: &str) -> Option<PathBuf> {
    files.inputs().iter().find_map(|model| {
        let own = model.with_file_name(name);
        let folder = model.parent()?;
        let above =
            folder.file_name().filter(|folder| *folder == Path::new("onnx")).map(|_| folder.with_file_name(name));
        std::iter::once(own).chain(above).find(|path| path.is_file())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tower_holds_up_to_the_next() {
        let said = |lists: &[&str]| by_tower(&lists.iter().map(|list| (*list).to_owned()).collect::<Vec<_>>());
        let both = |text: &str, vision: &str| [Some(text.to_owned()), Some(vision.to_owned())];
        assert_eq!(said(&[]), [None, None]);
        assert_eq!(said(&["fc2"]), both("fc2", "fc2"));
        assert_eq!(said(&["text:fc1, fc2"]), [Some("fc1,fc2".to_owned()), None]);
        assert_eq!(said(&["text:out_proj,vision:fc2[8..],projection"]), both("out_proj", "fc2[8..],projection"));
        assert_eq!(said(&["fc1,vision:fc2", "text:*x*"]), both("fc1,*x*", "fc1,fc2"));
    }
}
