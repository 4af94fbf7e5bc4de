//! How large images may be.

/// Pixels of an image that are decoded at most: as many as Pillow decodes, twice the number at which it begins to warn.
pub const MOST_PIXELS: u64 = 178_956_970;

/// How large an image may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageLimits {
    /// Pixels at most.
    pub max_pixels: u64,
}

impl Default for ImageLimits {
    fn default() -> Self {
        Self { max_pixels: MOST_PIXELS }
    }
}

impl ImageLimits {
    /// Whether an image of that size is decoded.
    pub(super) fn check(self, (width, height): (u32, u32)) -> Result<(), String> {
        let (pixels, most) = (u64::from(width) * u64::from(height), self.max_pixels);
        match pixels {
            0 => Err(format!("it is {width} x {height}, without a pixel")),
            _ if pixels > most => {
                Err(format!("it is {width} x {height}, {pixels} pixels, and more than {most} are not decoded"))
            }
            _ => Ok(()),
        }
    }

    /// Memory for the largest pixels there are, 16-bit RGBA, as much again for what a decoder keeps beside them, and tables.
    pub(super) fn bytes(self) -> u64 {
        self.max_pixels.saturating_mul(16).saturating_add(1 << 26)
    }
}
