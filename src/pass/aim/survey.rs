//! Whether aimed edits can work on a model: told beforehand, from calibration pairs alone.

use super::{AimedPlan, Aiming, Inputs, Trial, good, is_of_the_layer};
use crate::config::{Aimed, Config, Method, MethodName};
use crate::onnx::{Graph, Hints, Model};
use crate::pass::batches::Runner;
use crate::pass::data::Data;
use crate::pass::job::{Controls, ModelFiles};
use crate::pass::site::Site;
use crate::pass::{Error, notes};
use crate::report;

/// How well unsafe content shows in the last layer of each tower, and in words what stood in the way elsewhere.
///
/// # Errors
/// If a file cannot be read, data are missing or broken, or the runtime fails.
pub fn survey(
    files: &ModelFiles,
    hints: &Hints,
    config: &Config,
    runner: Runner,
) -> Result<(Vec<report::Aim>, Vec<String>), Error> {
    let models = files.inputs().iter().map(|path| Model::open(path)).collect::<Result<Vec<_>, _>>()?;
    let graphs = models.iter().map(Graph::new).collect::<Result<Vec<_>, _>>()?;
    let sites = Site::find_all(files, &graphs, hints)?;
    let data = Data::load(config, &sites)?;
    let aiming = Aiming { runner, data: &data, sites: &sites, controls: Controls::Off, all: true, dry: true };
    let (mut looked, mut said) = (vec![], data.calibration.notes.clone());
    for (file, site) in sites.iter().filter(|(_, site)| files.edits(site.modality())) {
        let aimed = match config.method(site.modality())? {
            Some(Method::Aimed(aimed)) => aimed,
            _ => Aimed { method: MethodName::Aimed, layers: None, gain: None, ridge: None, max_loss: None },
        };
        let look = || {
            let plan = AimedPlan::new(*file, site, aimed)?;
            let inputs = Inputs::gather(runner, &data, &plan)?;
            let trials = [Trial { plan: &plan, inputs, embeddings: None }];
            let pairs = good(&trials, &[None, None]);
            Ok::<_, Error>((aiming.look(&trials[0], &[None, None], &pairs)?, trials[0].inputs.notes.clone()))
        };
        match look() {
            Ok((aim, more)) => {
                notes::add(&mut said, more);
                looked.push(aim);
            }
            Err(error) if is_of_the_layer(&error) => said.push(error.to_string()),
            Err(error) => return Err(error),
        }
    }
    Ok((looked, said))
}
