//! Which layers are meant: the selection language of `layers:` and `--layers`.
//!
//! `fc2`, `out_proj` and other roles of blocks; `head.fc2`, `projection`; `fc2[8..]`, `fc2[..4]`, `fc2[3]`, `fc2[-4..]`
//! (the last four blocks); `block.3.fc2`; anything with `*`, `?`, `/` or `::` is matched with the names of node,
//! initializer and PyTorch module; several are parted by commas.

use wildmatch::WildMatch;

use crate::onnx::{Linear, Opaque};

/// A choice of layers.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted(Vec<(String, Term)>);

#[derive(Debug, Clone, PartialEq)]
enum Term {
    /// Node, initializer or module.
    Name(WildMatch),
    Role {
        role: String,
        from: Option<i64>,
        to: Option<i64>,
    },
}

/// What of a layer can be asked for.
#[derive(Debug, Clone, Copy)]
struct Asked<'a> {
    role: &'a str,
    block: Option<usize>,
    names: [&'a str; 3],
}

impl Wanted {
    /// Reads a selection.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let term = |text: &str| Ok((text.to_owned(), Term::parse(text)?));
        let terms = text.split(',').map(str::trim).map(term).collect::<Result<Vec<_>, String>>();
        terms.map(Self).map_err(|reason| format!("'{text}' does not say which layers: {reason}"))
    }

    /// Whether it takes a layer of a tower with so many blocks.
    pub fn takes(&self, layer: &Linear, blocks: usize) -> bool {
        self.take(asked(layer), blocks)
    }

    /// Whether it takes a node that is no layer to edit.
    pub fn takes_opaque(&self, node: &Opaque, blocks: usize) -> bool {
        self.take(Asked { role: &node.role, block: node.block, names: [&node.node, "", ""] }, blocks)
    }

    /// The first part of it that takes none of the layers.
    pub fn without<'l>(&self, layers: impl Iterator<Item = &'l Linear> + Clone, blocks: usize) -> Option<&str> {
        let takes = |term: &Term| layers.clone().any(|layer| term.takes(asked(layer), blocks));
        self.0.iter().find(|(_, term)| !takes(term)).map(|(text, _)| text.as_str())
    }

    fn take(&self, asked: Asked, blocks: usize) -> bool {
        self.0.iter().any(|(_, term)| term.takes(asked, blocks))
    }
}

impl Term {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("one is empty".to_owned());
        }
        if text.starts_with("text:") || text.starts_with("vision:") {
            return Err(format!("in '{text}' the tower is one too many: it is the one that this is said of"));
        }
        if text.contains(['*', '?', '/']) || text.contains("::") {
            return Ok(Self::Name(WildMatch::new(text)));
        }
        let number = |text: &str| text.parse::<i64>().map_err(|_| format!("'{text}' is no number of a block"));
        let optional = |text: &str| if text.is_empty() { Ok(None) } else { number(text).map(Some) };
        if let Some((block, role)) = text.strip_prefix("block.").and_then(|rest| rest.split_once('.')) {
            let block = number(block)?;
            return Ok(Self::Role { role: role.to_owned(), from: Some(block), to: after(block) });
        }
        match text.split_once('[') {
            None => Ok(Self::Role { role: text.to_owned(), from: None, to: None }),
            Some((role, range)) => {
                let range = range.strip_suffix(']').ok_or("a bracket is not closed")?;
                let (from, to) = match range.split_once("..") {
                    Some((from, to)) => (Some(optional(from)?.unwrap_or(0)), optional(to)?),
                    None => (Some(number(range)?), after(number(range)?)),
                };
                Ok(Self::Role { role: role.to_owned(), from, to })
            }
        }
    }

    fn takes(&self, asked: Asked, blocks: usize) -> bool {
        match self {
            // A lone star matches the empty name too.
            Self::Name(glob) => asked.names.iter().any(|name| !name.is_empty() && glob.matches(name)),
            Self::Role { role, from: None, .. } => asked.role == role || asked.names.contains(&role.as_str()),
            Self::Role { role, from: Some(from), to } => {
                let counted = |number: i64| if number < 0 { number + blocks as i64 } else { number };
                asked.role == role
                    && asked.block.is_some_and(|block| {
                        let block = block as i64;
                        counted(*from) <= block && to.is_none_or(|to| block < counted(to))
                    })
            }
        }
    }
}

fn asked(layer: &Linear) -> Asked<'_> {
    let Linear { role, block, node, module, weight, .. } = layer;
    Asked { role, block: *block, names: [node, &weight.initializer, module] }
}

/// The end of a range of that one block; the last one has none.
fn after(block: i64) -> Option<i64> {
    if block == -1 { None } else { block.checked_add(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(text: &str) -> Vec<String> {
        let wanted = Wanted::parse(text).unwrap();
        let layers = (0..4).flat_map(|block| ["out_proj", "fc2"].map(|role| (Some(block), role)));
        let layers = layers.chain([(None, "head.fc2"), (None, "projection")]);
        let named = |(block, role): (Option<usize>, &str)| {
            let name = block.map_or(role.to_owned(), |block| format!("{role}{block}"));
            let (node, initializer) = (format!("/layers/{name}/MatMul"), format!("onnx::{name}"));
            let asked = Asked { role, block, names: [&node, &initializer, ""] };
            wanted.take(asked, 4).then_some(name)
        };
        layers.filter_map(named).collect()
    }

    #[test]
    fn every_form_takes_what_it_should() {
        for (text, layers) in [
            ("fc2", &["fc20", "fc21", "fc22", "fc23"][..]),
            ("fc2[2..]", &["fc22", "fc23"]),
            ("fc2[..1]", &["fc20"]),
            ("fc2[1..3]", &["fc21", "fc22"]),
            ("fc2[3]", &["fc23"]),
            ("fc2[-1]", &["fc23"]),
            ("fc2[-3..-1]", &["fc21", "fc22"]),
            ("fc2[7..]", &[]),
            ("block.1.fc2", &["fc21"]),
            ("block.0.fc2, out_proj[3], head.fc2", &["fc20", "out_proj3", "head.fc2"]),
            ("projection", &["projection"]),
            ("*fc21*", &["fc21"]),
            ("/layers/fc2?/MatMul", &["fc20", "fc21", "fc22", "fc23"]),
            ("onnx::out_proj2", &["out_proj2"]),
            ("fc1", &[]),
        ] {
            let found = takes(text);
            assert_eq!(
                found.iter().map(String::as_str).collect::<std::collections::BTreeSet<_>>(),
                layers.iter().copied().collect(),
                "{text}"
            );
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for (text, why) in [
            ("", "is empty"),
            ("fc2,,fc1", "is empty"),
            ("fc2[1..", "not closed"),
            ("text:fc2", "one too many"),
            ("fc2[a]", "no number"),
            ("fc2[1..b]", "no number"),
            ("block.x.fc2", "no number"),
        ] {
            let error = Wanted::parse(text).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
