//! What is evaluated, as embeddings with what is known of each row.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Data, EvaluateJob};
use crate::dataset::{DataSet, ZeroShot};
use crate::onnx::{Graph, Modality, Model};
use crate::pass::batches::Runner;
use crate::pass::data::preparation;
use crate::pass::evaluate::{EmbeddedSide, EvaluationData, embed_side};
use crate::pass::padding::padding_counts;
use crate::pass::site::Site;
use crate::pass::stored::kind;
use crate::pass::{Error, ModelFiles};
use crate::report::FileId;
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

/// The embeddings of a data set by one model.
#[derive(Clone)]
pub struct Embedded {
    /// What made them.
    pub files: Vec<FileId>,
    /// By the text tower.
    pub text: Option<Arc<EmbeddedSide>>,
    /// By the vision tower.
    pub image: Option<Arc<EmbeddedSide>>,
    /// What is known of the rows.
    pub tags: Tags,
    /// Why a side is not there.
    pub absent: [Option<String>; 2],
    /// What was found wrong when it was embedded.
    pub ailments: Vec<Ailment>,
    /// SHA-256 of the file of each tower.
    towers: [Option<String>; 2],
}

/// What embeds, and what.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    pub runner: Runner<'a>,
    pub job: &'a EvaluateJob,
    pub data: &'a Data,
}

impl Embedded {
    /// What was stored in a file.
    pub fn stored(
        file: FileId,
        [text, image]: [Option<EmbeddedSide>; 2],
        tags: Tags,
        ailments: Vec<Ailment>,
    ) -> Result<Self, Error> {
        let absent = [(&text, "text"), (&image, "image")]
            .map(|(side, what)| side.is_none().then(|| format!("{} has no {what} embeddings", file.path.display())));
        let embedded = Self {
            files: vec![file],
            text: text.map(Arc::new),
            image: image.map(Arc::new),
            tags,
            absent,
            ailments,
            towers: [None, None],
        };
        embedded.check()?;
        Ok(embedded)
    }

    /// Embeds what the towers of a model and the data have in common. A tower that one of `others` has too, in the same
    /// file, is not run again.
    pub fn by(scene: Scene, files: &ModelFiles, who: &str, others: &[&Self]) -> Result<Self, Error> {
        let Scene { runner, job, data } = scene;
        let models = files.inputs().iter().map(|input| Model::open(input)).collect::<Result<Vec<_>, _>>()?;
        let graphs = models.iter().map(Graph::new).collect::<Result<Vec<_>, _>>()?;
        let sites = Site::find_all(files, &graphs, &job.hints)?;
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
        let prepared = preparation(&job.config, used.iter().copied(), stored)?;
        let on = EvaluationData { set: &data.set, zero_shot, prepared: &prepared };
        let mut embedded = Self {
            files: models.iter().map(|m| FileId { path: m.path().to_owned(), sha256: m.sha256().to_owned() }).collect(),
            text: None,
            image: None,
            tags: Tags::of(&data.set, zero_shot),
            absent,
            ailments: vec![],
            towers: [None, None],
        };
        for site in used {
            let which = usize::from(site.modality() == Modality::Vision);
            let sha256 = site.graph.model.sha256().to_owned();
            let same = others.iter().find(|other| other.towers[which].as_ref() == Some(&sha256));
            let side = match same.and_then(|other| other.side(which).clone()) {
                Some(side) => side,
                None => {
                    if site.modality() == Modality::Text {
                        embedded.ailments.extend(padding_counts(runner, site, on)?);
                    }
                    Arc::new(embed_side(runner, site, None, on, who)?)
                }
            };
            embedded.towers[which] = Some(sha256);
            *embedded.side_mut(which) = Some(side);
        }
        embedded.check()?;
        Ok(embedded)
    }

    fn side(&self, which: usize) -> &Option<Arc<EmbeddedSide>> {
        if which == 0 { &self.text } else { &self.image }
    }

    fn side_mut(&mut self, which: usize) -> &mut Option<Arc<EmbeddedSide>> {
        if which == 0 { &mut self.text } else { &mut self.image }
    }

    /// Takes the tower that is not there from another model: who edits one tower ships it with the other as it was.
    ///
    /// # Errors
    /// If they do not go together.
    pub fn complete(&mut self, other: &Self) -> Result<(), Error> {
        for which in 0..2 {
            if self.side(which).is_none() && other.side(which).is_some() {
                *self.side_mut(which) = other.side(which).clone();
                self.absent[which] = None;
            }
        }
        self.check()
    }

    /// Checks that another model was given the same samples.
    ///
    /// # Errors
    /// [`Error::Conflict`] if not.
    pub fn check_same_data(&self, other: &Self) -> Result<(), Error> {
        let known = |a: &Vec<String>, b: &Vec<String>| a.is_empty() || b.is_empty() || a == b;
        let (own, others) = (&self.tags, &other.tags);
        let zero_shot = own.templates == 0
            || others.templates == 0
            || (&own.right, own.templates) == (&others.right, others.templates);
        if self.rows() == other.rows() && known(&own.ids, &others.ids) && zero_shot {
            return Ok(());
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

    fn check(&self) -> Result<(), Error> {
        let failed = |source| Error::SafeGround { what: "embeddings".to_owned(), source };
        match (&self.text, &self.image) {
            (Some(text), Some(image)) => check_widths(&text.safe, &image.safe).map_err(failed),
            _ => Ok(()),
        }
    }

    /// How many quadruplets.
    pub fn rows(&self) -> usize {
        let sides = [&self.text, &self.image];
        sides.into_iter().flatten().map(|side| side.safe.rows().nrows()).next().unwrap_or(0)
    }
}
