//! Edits tried without a file: a split embedded by the edited tower.

use std::sync::Arc;

use serde_json::{Value, json};

use super::sides::Sides;
use crate::onnx::{self, Modality, Replaced, Selection, Source, Update, sha256_of};
use crate::pass::Error;
use crate::pass::batches::Runner;
use crate::pass::data::Data;
use crate::pass::evaluate::{EmbeddedSide, EvaluationData, embed_side};
use crate::pass::site::Site;

/// Where edits are tried.
pub struct Laboratory<'a> {
    runner: Runner<'a>,
    sides: Sides<'a>,
    on: EvaluationData<'a>,
    /// The split's name.
    split: &'static str,
    /// What the split is made of and prepared with, as each tower sees it, text first; asked for where embeddings are kept.
    content: Option<[Value; 2]>,
}

impl<'a> Laboratory<'a> {
    /// A laboratory with a split to measure on.
    ///
    /// # Errors
    /// If one of its files cannot be read.
    pub fn new(
        runner: Runner<'a>,
        data: &Data,
        sides: Sides<'a>,
        on: EvaluationData<'a>,
        split: &'static str,
    ) -> Result<Self, Error> {
        let content = |tower| Ok::<_, Error>(json!([data.content(tower, on)?, data.prepared(tower)?]));
        let content = match sides.0 {
            Some(_) => Some([content(Modality::Text)?, content(Modality::Vision)?]),
            None => None,
        };
        Ok(Self { runner, sides, on, split, content })
    }

    /// What runs the towers.
    pub fn runner(&self) -> Runner<'a> {
        self.runner
    }

    /// The data.
    pub fn on(&self) -> EvaluationData<'a> {
        self.on
    }

    /// Embeds the split with a tower as it is.
    ///
    /// # Errors
    /// If data or runtime fail.
    pub fn unedited(&self, site: &Site) -> Result<Arc<EmbeddedSide>, Error> {
        let when = format!("{}, as it is", self.split);
        self.sides.get(&self.job(site, None), || embed_side(self.runner, site, None, self.on, &when)).map(Arc::new)
    }

    /// Embeds the split with an edited tower. What the edit itself makes impossible is told in words.
    ///
    /// # Errors
    /// If data or runtime fail.
    pub fn edited(
        &self,
        site: &Site,
        selections: &[Selection],
        when: &str,
    ) -> Result<Result<Arc<EmbeddedSide>, String>, Error> {
        let made = self.sides.get(&self.job(site, Some(&fingerprint(selections))), || {
            let Some(weights) = Replaced::new(site.graph.model, selections)? else {
                let tower = site.modality();
                return Err(Error::Conflict {
                    reason: format!("the edited weights of the {tower} tower exceed 2 GiB, which no graph can carry"),
                    help: "sweep over fewer layers at a time",
                });
            };
            embed_side(self.runner, site, Some(&weights), self.on, &format!("{}, {when}", self.split))
        });
        match made {
            Ok(side) => Ok(Ok(Arc::new(side))),
            Err(
                error @ (Error::SafeGround { .. } | Error::Conflict { .. } | Error::Onnx(onnx::Error::Tensor { .. })),
            ) => Ok(Err(error.to_string())),
            Err(error) => Err(error),
        }
    }

    /// All that embeddings depend on.
    fn job(&self, site: &Site, edit: Option<&str>) -> Value {
        let place = self.runner.runtime.place();
        let files: Vec<&str> = site.graph.model.sources().iter().map(Source::sha256).collect();
        let text = site.modality() == Modality::Text;
        json!({
            "tool": env!("CARGO_PKG_VERSION"),
            "model": files,
            "tower": format!("{:?}", site.tower),
            "edit": edit,
            "content": self.content.as_ref().map(|content| &content[usize::from(!text)]),
            "runtime": [place.backend, &place.version, &place.provider, &place.device],
            "batch_size": self.runner.limits.batch_size,
            "skip_bad_samples": self.runner.limits.skip_bad_samples,
        })
    }
}

/// What tells edits of a tower apart: a hash of tensors, factors and elements.
pub fn fingerprint(selections: &[Selection]) -> String {
    let mut bytes = vec![];
    for Selection { layer, update, positions } in selections.iter().filter(|selection| !selection.positions.is_empty())
    {
        let name = &layer.weight.initializer;
        bytes.extend((name.len() as u64).to_le_bytes());
        bytes.extend(name.bytes());
        match update {
            Update::Multiply(alpha) => bytes.extend([&[0][..], &alpha.to_le_bytes()].concat()),
            Update::RankOne(product) => {
                bytes.push(1);
                bytes.extend(product.left.iter().chain(&product.right).flat_map(|value| value.to_le_bytes()));
            }
        }
        bytes.extend((positions.len() as u64).to_le_bytes());
        bytes.extend(positions.iter().flat_map(|position| position.to_le_bytes()));
    }
    sha256_of(&bytes)
}
