//! Which layer of a tower is aimed at.

use crate::config::{Aimed, MethodName};
use crate::few::cut;
use crate::onnx::Linear;
use crate::pass::Error;
use crate::pass::site::Site;
use crate::uwm;

/// A tower that may be edited by aimed negation.
pub struct AimedPlan<'a> {
    /// The file it is in.
    pub file: usize,
    /// The tower.
    pub site: &'a Site<'a>,
    /// The layer.
    pub layer: Linear,
    /// What is said of it.
    pub aimed: Aimed,
    /// Whether just this tower was asked for: then it is an error if it cannot be aimed at, and else only a note.
    pub asked: bool,
}

impl<'a> AimedPlan<'a> {
    /// The plan for a tower: the layer that is named, or its last one.
    ///
    /// # Errors
    /// If there is none, several are named, or it cannot be edited.
    pub fn new(file: usize, site: &'a Site<'a>, aimed: Aimed) -> Result<Self, Error> {
        let layer = match &aimed.layers {
            Some(wanted) => {
                let mut layers = site.select(wanted)?;
                match (layers.len(), layers.pop()) {
                    (1, Some(layer)) => layer,
                    (count, _) => {
                        return Err(Error::Conflict {
                            reason: format!("'{wanted}' is {count} layers of the {} tower", site.modality()),
                            help: "aimed negation edits one layer: name that one, or leave it out for the last one",
                        });
                    }
                }
            }
            None => last(site)?,
        };
        let (tower, node) = (site.modality(), cut(&layer.node));
        if layer.uses.len() > 1 {
            return Err(Error::Conflict {
                reason: format!(
                    "layer {node} of the {tower} tower multiplies {} values by one weight",
                    layer.uses.len()
                ),
                help: "aimed edits need a layer that is given one: choose another with --layers, or another --preset",
            });
        }
        let element = layer.weight.open(site.graph.model)?.element;
        if aimed.method == MethodName::Steer && !element.is_float() {
            return Err(Error::Conflict {
                reason: format!(
                    "the weight of layer {node} of the {tower} tower is {} codes, which cannot take any value",
                    element.name()
                ),
                help: "negate instead (--preset aimed), or steer the file it was quantised from",
            });
        }
        Ok(Self { file, site, layer, aimed, asked: false })
    }

    /// An error of the layer.
    pub fn failed(&self, source: uwm::Error) -> Error {
        Error::Score { layer: self.layer.node.clone(), source }
    }
}

/// The last linear layer of a tower, after its blocks.
fn last(site: &Site) -> Result<Linear, Error> {
    let tower = site.modality();
    let none = |why: String| {
        let help = "name another layer that is given one row a sample with --layers, the other tower with --tower, or another --preset";
        Err(Error::Conflict { reason: format!("the {tower} tower has no last linear layer {why}"), help })
    };
    let opaque = |ends: fn(&str) -> bool| site.opaque.iter().rev().find(|node| ends(&node.role) && !node.convolution);
    let layer = |ends: fn(&str) -> bool| site.layers.iter().rev().find(|layer| ends(&layer.role));
    let projection = |role: &str| role == "projection";
    let head = |role: &str| role.starts_with("head.");
    // A projection ends a tower, whether it can be edited or not.
    let found = match (opaque(projection), layer(projection)) {
        (Some(node), None) => Err(Some(node)),
        (_, Some(layer)) => Ok(layer),
        (None, None) => layer(head).ok_or_else(|| opaque(head)),
    };
    match found {
        Ok(layer) => {
            site.check_editable(layer)?;
            Ok(layer.clone())
        }
        Err(Some(node)) => none(format!(
            "that can be edited: '{}' is {}, and its weight is {}",
            cut(&node.node),
            node.role,
            node.weight
        )),
        Err(None) => none("between its blocks and its embedding".to_owned()),
    }
}
