//! Quantised weights: which scale and zero point stand behind each code.

use super::element::Element;
use super::model::Model;
use super::storage::Stored;

/// What the elements of a quantised weight stand for: `(code - zero point) * scale`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Codes {
    /// The codes' type, where they are packed in a tensor of another one (`MatMulNBits`).
    pub element: Option<Element>,
    /// Names of constants whose product is the scale; empty if it could not be found.
    pub scale: Vec<String>,
    /// Name of the constant with the zero points.
    pub zero_point: Option<String>,
    /// The zero point where there is no such constant.
    pub default_zero: i16,
    /// Over which elements one scale holds.
    pub grid: Grid,
    /// Whether the zero points are packed as the codes are, each row of blocks filled up to whole bytes.
    pub packed_zero: bool,
}

/// A division of the stored rows and columns into parts that share scale and zero point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Rows of a part.
    pub rows: usize,
    /// Columns of a part.
    pub columns: usize,
}

impl Grid {
    /// One part.
    pub fn whole(shape: [usize; 2]) -> Self {
        Self { rows: shape[0].max(1), columns: shape[1].max(1) }
    }

    /// One part for each index of `axis`.
    pub fn along(axis: usize, shape: [usize; 2]) -> Self {
        let whole = Self::whole(shape);
        if axis == 0 { Self { rows: 1, ..whole } } else { Self { columns: 1, ..whole } }
    }

    /// Parts of `size` elements along `axis`.
    pub fn blocks(axis: usize, size: usize) -> Self {
        if axis == 0 { Self { rows: size.max(1), columns: 1 } } else { Self { rows: 1, columns: size.max(1) } }
    }

    /// Rows and columns of parts.
    fn parts(self, shape: [usize; 2]) -> [usize; 2] {
        [shape[0].div_ceil(self.rows), shape[1].div_ceil(self.columns)]
    }
}

/// Scales and zero points, loaded.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameters {
    grid: Grid,
    /// Parts in a row.
    width: usize,
    /// One for all, or one a part.
    zero: Vec<f64>,
    /// None, one for all, or one a part.
    scale: Vec<f64>,
}

impl Codes {
    /// Loads scale and zero points for a weight of that stored shape, whose codes are `element`s.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn load(&self, model: &Model, shape: [usize; 2], element: Element) -> Result<Parameters, String> {
        let [rows, width] = self.grid.parts(shape);
        let fits = |what: &str, name: &str, values: Vec<f64>| match values.len() {
            n if n != 1 && n != rows * width => Err(format!("its {what} '{name}' has {n} values for {}", rows * width)),
            _ if values.iter().any(|value| !value.is_finite()) => Err(format!("its {what} '{name}' is not finite")),
            _ => Ok(values),
        };
        let zero = match &self.zero_point {
            None => vec![f64::from(self.default_zero)],
            Some(name) => fits("zero point", name, self.zero_points(model, name, [rows, width], element)?)?,
        };
        let mut scale: Vec<f64> = vec![];
        for name in &self.scale {
            let factor = fits("scale", name, values(model, name)?)?;
            scale = match (scale.len(), factor.len()) {
                (0, _) => factor,
                (_, 1) => scale.iter().map(|s| s * factor[0]).collect(),
                (1, _) => factor.iter().map(|f| f * scale[0]).collect(),
                _ => scale.iter().zip(&factor).map(|(s, f)| s * f).collect(),
            };
        }
        Ok(Parameters { grid: self.grid, width, zero, scale })
    }

    fn zero_points(
        &self,
        model: &Model,
        name: &str,
        [rows, width]: [usize; 2],
        element: Element,
    ) -> Result<Vec<f64>, String> {
        let stored = find(model, name)?;
        if !self.packed_zero || stored.element.is_float() {
            return values(model, name);
        }
        // Each row of blocks begins at a byte: `com.microsoft.MatMulNBits`.
        let plain = stored.plain(model);
        let pitch = element.bytes(width).unwrap_or(usize::MAX);
        if rows.checked_mul(pitch) != Some(plain.len()) {
            return Err(format!("its zero point '{name}' has {} bytes for {rows} rows of {width} blocks", plain.len()));
        }
        let row = |r: usize| (0..width).map(move |c| (r, c));
        Ok((0..rows).flat_map(row).map(|(r, c)| element.get(&plain[r * pitch..], c)).collect())
    }
}

impl Parameters {
    fn part(&self, values: &[f64], [row, column]: [usize; 2]) -> f64 {
        match values {
            [one] => *one,
            _ => values[(row / self.grid.rows) * self.width + column / self.grid.columns],
        }
    }

    /// The zero point at a stored position.
    pub fn zero(&self, position: [usize; 2]) -> f64 {
        self.part(&self.zero, position)
    }

    /// What `code` at a stored position stands for; without its scale if that is not known.
    pub fn value(&self, code: f64, position: [usize; 2]) -> f64 {
        let scale = if self.has_scale() { self.part(&self.scale, position) } else { 1.0 };
        (code - self.zero(position)) * scale
    }

    /// Whether the scale is known.
    pub fn has_scale(&self) -> bool {
        !self.scale.is_empty()
    }
}

fn find(model: &Model, name: &str) -> Result<Stored, String> {
    let found = model.constant(name).and_then(|constant| Stored::find(model, constant));
    found.map_err(|reason| format!("its parameter '{name}' cannot be read: {reason}"))
}

fn values(model: &Model, name: &str) -> Result<Vec<f64>, String> {
    let stored = find(model, name)?;
    let plain = stored.plain(model);
    Ok((0..stored.count).map(|index| stored.element.get(&plain, index)).collect())
}
