//! Edits of single towers, embedded once each, and every combination of them, measured by algebra: towers know nothing of
//! each other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::frontier::{Place, frontier};
use super::pick::{Pick, ROUNDING};
use super::points::{Planned, Tower, order};
use super::trials::{Laboratory, fingerprint};
use crate::few::few;
use crate::onnx::Modality;
use crate::pass::Error;
use crate::pass::evaluate::{EmbeddedData, EmbeddedSide, Measurements, measure_all};
use crate::pass::job::Controls;
use crate::pass::site::{Site, both};
use crate::pass::tower_edit::TowerEdit;
use crate::pass::{controls, notes};
use crate::report::{Control, ControlKind, Frontier, Outcome, SplitSize, SweepPoint, TriedEdit};
use crate::safeground::Metric;

/// What was tried, and the best of it.
pub struct Compared<'a> {
    towers: &'a [Tower<'a>],
    /// The edits of single towers, text first, in the order of the grids.
    pub edits: Vec<TriedEdit>,
    /// Every combination; the first is the model as it is.
    pub points: Vec<SweepPoint>,
    /// The best of them.
    pub frontiers: Vec<Frontier>,
    /// Times an edited tower embedded the split that is chosen by, and the one that is reported.
    pub runs: [usize; 2],
    /// How much of each of them was measured.
    pub sizes: [SplitSize; 2],
}

/// The tower and plan of an edit, by its place among all.
fn edit_of<'t, 'a>(towers: &'t [Tower<'a>], edit: usize) -> Option<(&'t Tower<'a>, &'t Planned<'a>)> {
    towers.iter().flat_map(|tower| tower.plans.iter().map(move |plan| (tower, plan))).nth(edit)
}

/// The towers and plans of a point's edits.
pub fn edits_of<'t, 'a>(
    towers: &'t [Tower<'a>],
    point: [Option<usize>; 2],
) -> [Option<(&'t Tower<'a>, &'t Planned<'a>)>; 2] {
    point.map(|edit| edit_of(towers, edit?))
}

impl<'a> Compared<'a> {
    /// Tries the edits of all towers, at most `max_runs` of them, and compares all combinations.
    ///
    /// # Errors
    /// If data or runtime fail, or nothing can be tried.
    pub fn new(
        towers: &'a [Tower<'a>],
        sites: &[(usize, Site)],
        on: &Laboratory,
        max_runs: Option<usize>,
        notes: &mut Vec<String>,
    ) -> Result<Self, Error> {
        let edits = towers
            .iter()
            .flat_map(|tower| tower.plans.iter().enumerate().map(move |(k, plan)| untried(tower, k, plan)));
        let mut compared = Self {
            towers,
            edits: edits.collect(),
            points: vec![],
            frontiers: vec![],
            runs: [0, 0],
            sizes: [SplitSize::default(); 2],
        };
        let [text, vision] = both(sites).expect("the splits were made for two towers");
        let unedited = EmbeddedData::new(on.unedited(text)?, on.unedited(vision)?)?;
        let tried = compared.try_all(on, &unedited, max_runs, notes)?;
        compared.combine(on, &unedited, &tried, notes)?;
        compared.find_frontiers();
        Ok(compared)
    }

    /// Embeds the split with each edited tower.
    fn try_all(
        &mut self,
        on: &Laboratory,
        unedited: &EmbeddedData,
        max_runs: Option<usize>,
        notes: &mut Vec<String>,
    ) -> Result<BTreeMap<usize, Arc<EmbeddedSide>>, Error> {
        let (mut tried, mut known) = (BTreeMap::new(), BTreeMap::<(usize, String), usize>::new());
        let planned = order(self.towers);
        let all = planned.len().min(max_runs.unwrap_or(usize::MAX));
        let before: Vec<usize> =
            self.towers.iter().scan(0, |sum, tower| Some(std::mem::replace(sum, *sum + tower.plans.len()))).collect();
        for (tower_index, plan_index) in planned {
            let (tower, edit) = (&self.towers[tower_index], before[tower_index] + plan_index);
            let plan = &tower.plans[plan_index];
            if self.runs[0] >= max_runs.unwrap_or(usize::MAX) {
                break;
            }
            let tried_edit = match choose(tower, plan, notes)? {
                Ok(edit) => edit,
                Err(reason) => {
                    self.edits[edit].outcome = Outcome::Impossible(reason);
                    continue;
                }
            };
            self.edits[edit].selected = tried_edit.choice.selected();
            let selections = tried_edit.own();
            let same = known.entry((tower_index, fingerprint(&selections))).or_insert(edit);
            if *same != edit {
                self.edits[edit].outcome = Outcome::SameAs(self.edits[*same].id.clone());
                continue;
            }
            self.runs[0] += 1;
            let when = format!("{} ({}/{all})", self.edits[edit].id, self.runs[0]);
            self.edits[edit].outcome = match sound(on.edited(tower.site, &selections, &when)?, tower, unedited) {
                Ok(side) => {
                    tried.insert(edit, side);
                    Outcome::Tried
                }
                Err(reason) => Outcome::Impossible(reason),
            };
        }
        match tried.is_empty() {
            true => Err(Error::Conflict {
                reason: format!("none of the {} edits can be tried: {}", self.edits.len(), few(reasons(&self.edits))),
                help: "give other grids in uwm.yaml (sweep), or more --max-runs",
            }),
            false => Ok(tried),
        }
    }

    /// Measures every combination.
    fn combine(
        &mut self,
        on: &Laboratory,
        unedited: &EmbeddedData,
        tried: &BTreeMap<usize, Arc<EmbeddedSide>>,
        notes: &mut Vec<String>,
    ) -> Result<(), Error> {
        let of = |tower: Modality| {
            let own = tried.keys().copied().filter(|&edit| self.edits[edit].tower == tower);
            std::iter::once(None).chain(own.map(Some)).collect::<Vec<_>>()
        };
        let (texts, visions) = (of(Modality::Text), of(Modality::Vision));
        let pairs: Vec<[Option<usize>; 2]> =
            texts.iter().flat_map(|&text| visions.iter().map(move |&vision| [text, vision])).collect();
        let side = |edit: Option<usize>, own: &Arc<EmbeddedSide>| edit.map_or(own.clone(), |edit| tried[&edit].clone());
        let models = pairs
            .iter()
            .map(|&[text, vision]| EmbeddedData::new(side(text, &unedited.text), side(vision, &unedited.image)))
            .collect::<Result<Vec<_>, _>>()?;
        let measured = measure_all(on.runner(), &models.iter().collect::<Vec<_>>(), on.on())?;
        notes.extend(measured.left_out.note().map(|note| format!("validation: {note}")));
        self.sizes[0] = size(on, &measured);
        let selected = |edit: Option<usize>| edit.map_or(0, |edit| self.edits[edit].selected);
        self.points = pairs
            .into_iter()
            .zip(measured.of)
            .map(|([text, vision], validation)| SweepPoint {
                text,
                vision,
                selected: selected(text) + selected(vision),
                validation,
                evaluation: None,
                random: None,
                verdict: None,
            })
            .collect();
        Ok(())
    }

    fn find_frontiers(&mut self) {
        for safety in [Metric::GS, Metric::PU, Metric::PS] {
            for knowledge in [Metric::ZERO_SHOT, Metric::RECALL] {
                let place = |point: &SweepPoint| {
                    let (safety, knowledge) = (safety.of(&point.validation)?, knowledge.of(&point.validation)?);
                    Some(Place { safety, knowledge, size: point.selected })
                };
                let places: Option<Vec<Place>> = self.points.iter().map(place).collect();
                self.frontiers.extend(places.map(|places| Frontier { safety, knowledge, points: frontier(&places) }));
            }
        }
    }

    /// The point that a rule picks, if there is one that betters the model as it is. Of equal ones that with more
    /// knowledge, then fewer elements, then the first.
    pub fn pick(&self, rule: &Pick) -> Option<usize> {
        let unedited = &self.points.first()?.validation;
        let own = rule.worth(unedited, unedited).unwrap_or(f64::NEG_INFINITY);
        let key = |index: usize| {
            let point = &self.points[index];
            let worth = rule.worth(unedited, &point.validation).filter(|&worth| worth > own + ROUNDING)?;
            let top1 = Metric::ZERO_SHOT.of(&point.validation).unwrap_or(0.0);
            Some((worth, top1, Metric::RECALL.of(&point.validation).unwrap_or(0.0), point.selected, index))
        };
        let order = |a: &(f64, f64, f64, usize, usize), b: &(f64, f64, f64, usize, usize)| {
            let more = a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.total_cmp(&b.2));
            more.then(b.3.cmp(&a.3)).then(b.4.cmp(&a.4))
        };
        (1..self.points.len()).filter_map(key).max_by(order).map(|(.., index)| index)
    }

    /// Measures the points of the frontiers, and the picked one, on the split that is reported: each edited tower embeds
    /// it once, and so does, with `controlled`, its random control. Gives the model as it is.
    ///
    /// # Errors
    /// If data or runtime fail.
    pub fn report(
        &mut self,
        on: &Laboratory,
        sites: &[(usize, Site)],
        picked: Option<usize>,
        controlled: bool,
        notes: &mut Vec<String>,
    ) -> Result<EmbeddedData, Error> {
        let [text, vision] = both(sites).expect("the splits were made for two towers");
        let unedited = EmbeddedData::new(on.unedited(text)?, on.unedited(vision)?)?;
        let best = self.frontiers.iter().flat_map(|frontier| frontier.points.iter().copied());
        let best: BTreeSet<usize> = best.chain(picked).chain([0]).collect();
        let used: BTreeSet<usize> =
            best.iter().flat_map(|&point| [self.points[point].text, self.points[point].vision]).flatten().collect();
        let (mut real, mut random) = (BTreeMap::new(), BTreeMap::new());
        for (number, &edit) in used.iter().enumerate() {
            let (tower, plan) = edit_of(self.towers, edit).expect("an edit that was tried");
            let Ok(chosen) = choose(tower, plan, &mut vec![])? else { continue };
            let id = &self.edits[edit].id;
            let turn = format!("({}/{})", number + 1, used.len());
            match sound(on.edited(tower.site, &chosen.own(), &format!("{id} {turn}"))?, tower, &unedited) {
                Ok(side) => _ = real.insert(edit, side),
                Err(reason) => notes.push(format!("{id} is not reported: {reason}")),
            }
            self.runs[1] += 1;
            if controlled {
                let control = controls::random(std::slice::from_ref(&chosen), SEED)?;
                match sound(
                    on.edited(tower.site, &control.selections[0], &format!("{id}, random {turn}"))?,
                    tower,
                    &unedited,
                ) {
                    Ok(side) => _ = random.insert(edit, side),
                    Err(reason) => notes.push(format!("the random control of {id} is not measured: {reason}")),
                }
                self.runs[1] += 1;
            }
        }
        self.measure_best(on, &unedited, &best, [&real, &random], notes)?;
        Ok(unedited)
    }

    fn measure_best(
        &mut self,
        on: &Laboratory,
        unedited: &EmbeddedData,
        best: &BTreeSet<usize>,
        [real, random]: [&BTreeMap<usize, Arc<EmbeddedSide>>; 2],
        notes: &mut Vec<String>,
    ) -> Result<(), Error> {
        let joined = |point: usize, sides: &BTreeMap<usize, Arc<EmbeddedSide>>| {
            let SweepPoint { text, vision, .. } = &self.points[point];
            let side = |edit: &Option<usize>, own: &Arc<EmbeddedSide>| match edit {
                None => Some(own.clone()),
                Some(edit) => sides.get(edit).cloned(),
            };
            let sides = side(text, &unedited.text).zip(side(vision, &unedited.image));
            sides.map(|(text, image)| EmbeddedData::new(text, image)).transpose()
        };
        let mut models = vec![];
        for &point in best {
            models.extend(joined(point, real)?.map(|model| (point, false, model)));
            if point != 0 {
                models.extend(joined(point, random)?.map(|model| (point, true, model)));
            }
        }
        let measured = measure_all(on.runner(), &models.iter().map(|(.., model)| model).collect::<Vec<_>>(), on.on())?;
        notes.extend(measured.left_out.note().map(|note| format!("evaluation: {note}")));
        self.sizes[1] = size(on, &measured);
        for ((point, control, _), evaluation) in models.iter().zip(measured.of) {
            let point = &mut self.points[*point];
            let place = if *control { &mut point.random } else { &mut point.evaluation };
            *place = Some(evaluation);
        }
        let before = self.points[0].evaluation.clone();
        for &point in best {
            let point = &mut self.points[point];
            let (Some(before), Some(after), Some(random)) = (&before, &point.evaluation, &point.random) else {
                continue;
            };
            let control = Control {
                kind: ControlKind::Random { seed: SEED },
                selected: point.selected,
                evaluation: random.clone(),
            };
            point.verdict = controls::judge(before, after, &[control]);
        }
        Ok(())
    }
}

fn size(on: &Laboratory, measured: &Measurements) -> SplitSize {
    let images = on.on().zero_shot.map_or(0, |set| set.images.len());
    SplitSize { quadruplets: measured.quadruplets, zero_shot_images: images - measured.left_out.images.len() }
}

/// Of the random controls.
const SEED: u64 = 0;

fn untried(tower: &Tower, index: usize, plan: &Planned) -> TriedEdit {
    let modality = tower.site.modality();
    TriedEdit {
        id: format!("{}{}", &modality.name()[..1], index + 1),
        tower: modality,
        recipe: plan.method(),
        selected: 0,
        elements: plan.layers().iter().map(|layer| layer.weight.shape.iter().product::<usize>()).sum(),
        outcome: Outcome::LeftOut,
    }
}

/// The elements of an edit, or why there are none.
fn choose<'a>(
    tower: &Tower<'a>,
    plan: &Planned<'a>,
    notes: &mut Vec<String>,
) -> Result<Result<TowerEdit<'a>, String>, Error> {
    let mut said = vec![];
    let chosen = tower.choose(plan, Controls::Off, &mut said);
    notes::add(notes, said);
    match chosen {
        Ok(edit) => Ok(Ok(edit)),
        Err(error @ Error::Score { .. }) => Ok(Err(error.to_string())),
        Err(error) => Err(error),
    }
}

/// An edit that breaks samples which the model as it is embeds would spoil the comparison of all others: it is none.
fn sound(
    side: Result<Arc<EmbeddedSide>, String>,
    tower: &Tower,
    unedited: &EmbeddedData,
) -> Result<Arc<EmbeddedSide>, String> {
    let side = side?;
    let own = match tower.site.modality() {
        Modality::Text => &unedited.text.bad,
        Modality::Vision => &unedited.image.bad,
    };
    let quadruplets = side.bad.quadruplets.difference(&own.quadruplets).count();
    let images = side.bad.images.difference(&own.images).count();
    match quadruplets + images {
        0 => Ok(side),
        _ => Err(format!(
            "embeddings of {quadruplets} quadruplets and {images} zero-shot images become zero or not finite"
        )),
    }
}

fn reasons(edits: &[TriedEdit]) -> impl Iterator<Item = String> {
    edits.iter().filter_map(|edit| match &edit.outcome {
        Outcome::Impossible(reason) => Some(format!("{}: {reason}", edit.id)),
        _ => None,
    })
}
