//! Element types: how one value is written, negated, scaled, and what it means.

use half::{bf16, f16};

use super::proto::tensor_proto::DataType;

/// A type of element that can be edited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// FLOAT
    F32,
    /// FLOAT16
    F16,
    /// BFLOAT16
    BF16,
    /// DOUBLE
    F64,
    /// INT8
    I8,
    /// UINT8
    U8,
    /// INT4, two a byte, the first in the low half
    I4,
    /// UINT4, two a byte, the first in the low half
    U4,
}

impl Element {
    /// The type with that number in ONNX's `TensorProto.DataType`.
    ///
    /// # Errors
    /// Why not, for types that have no negation here.
    pub fn of(data_type: i32) -> Result<Self, String> {
        match DataType::try_from(data_type) {
            Ok(DataType::Float) => Ok(Self::F32),
            Ok(DataType::Float16) => Ok(Self::F16),
            Ok(DataType::Bfloat16) => Ok(Self::BF16),
            Ok(DataType::Double) => Ok(Self::F64),
            Ok(DataType::Int8) => Ok(Self::I8),
            Ok(DataType::Uint8) => Ok(Self::U8),
            Ok(DataType::Int4) => Ok(Self::I4),
            Ok(DataType::Uint4) => Ok(Self::U4),
            Ok(other) => Err(format!("its element type is {}, which cannot be edited", other.as_str_name())),
            Err(_) => Err(format!("its element type is number {data_type}, which is unknown")),
        }
    }

    /// ONNX's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "FLOAT",
            Self::F16 => "FLOAT16",
            Self::BF16 => "BFLOAT16",
            Self::F64 => "DOUBLE",
            Self::I8 => "INT8",
            Self::U8 => "UINT8",
            Self::I4 => "INT4",
            Self::U4 => "UINT4",
        }
    }

    /// Bits of one element.
    pub fn bits(self) -> usize {
        match self {
            Self::F64 => 64,
            Self::F32 => 32,
            Self::F16 | Self::BF16 => 16,
            Self::I8 | Self::U8 => 8,
            Self::I4 | Self::U4 => 4,
        }
    }

    /// Whether an element is a value by itself, and not a code that needs scale and zero point.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F16 | Self::BF16 | Self::F64)
    }

    /// Bytes of `elements` of them; `None` beyond what can be addressed.
    pub fn bytes(self, elements: usize) -> Option<usize> {
        elements.checked_mul(self.bits()).map(|bits| bits.div_ceil(8))
    }

    /// The smallest and the largest code.
    fn code_range(self) -> (i64, i64) {
        match self {
            Self::I8 => (-128, 127),
            Self::U8 => (0, 255),
            Self::I4 => (-8, 7),
            Self::U4 => (0, 15),
            _ => unreachable!("a float is no code"),
        }
    }

    /// Element `index` as a number: a float's value, or the code as it stands.
    pub fn get(self, bytes: &[u8], index: usize) -> f64 {
        match self {
            Self::F32 => f64::from(f32::from_le_bytes(take(bytes, index))),
            Self::F64 => f64::from_le_bytes(take(bytes, index)),
            Self::F16 => f16::from_le_bytes(take(bytes, index)).to_f64(),
            Self::BF16 => bf16::from_le_bytes(take(bytes, index)).to_f64(),
            Self::I8 => f64::from(bytes[index] as i8),
            Self::U8 => f64::from(bytes[index]),
            Self::I4 => f64::from(((nibble(bytes, index) << 4) as i8) >> 4),
            Self::U4 => f64::from(nibble(bytes, index)),
        }
    }

    /// Multiplies a float by `alpha`: -1 turns the sign bit and nothing else, so that it undoes itself for every
    /// value there is (NaN and -0 too); any other factor is rounded once, to the nearest.
    pub fn scale(self, bytes: &mut [u8], index: usize, alpha: f64) {
        let size = self.bits() / 8;
        if alpha == -1.0 {
            bytes[(index + 1) * size - 1] ^= 0x80;
            return;
        }
        let scaled = self.get(bytes, index) * alpha;
        self.put(bytes, index, scaled);
    }

    /// Makes a float the one that is nearest to `value`, ties to even.
    pub fn put(self, bytes: &mut [u8], index: usize, value: f64) {
        let size = self.bits() / 8;
        let place = &mut bytes[index * size..][..size];
        match self {
            Self::F32 => place.copy_from_slice(&(value as f32).to_le_bytes()),
            Self::F64 => place.copy_from_slice(&value.to_le_bytes()),
            Self::F16 => place.copy_from_slice(&f16::from_f32(to_odd(value)).to_le_bytes()),
            Self::BF16 => place.copy_from_slice(&bf16::from_f32(to_odd(value)).to_le_bytes()),
            _ => unreachable!("codes are moved about their zero point"),
        }
    }

    /// Moves a code `q` to what stands for `alpha` times its value about the zero point, and says whether the wanted
    /// code was out of range and the nearest one was taken. For -1 that is `2 zero - q`, which undoes itself unless
    /// it saturates.
    pub fn move_code(self, bytes: &mut [u8], index: usize, zero: f64, alpha: f64) -> bool {
        let code = self.get(bytes, index);
        let wanted = if alpha == -1.0 { (2.0 * zero).round() - code } else { (zero + alpha * (code - zero)).round() };
        let (low, high) = self.code_range();
        let moved = (wanted as i64).clamp(low, high);
        let byte = moved as u8;
        match self {
            Self::I4 | Self::U4 => {
                let shift = 4 * (index % 2);
                let place = &mut bytes[index / 2];
                *place = (*place & !(0x0f << shift)) | ((byte & 0x0f) << shift);
            }
            _ => bytes[index] = byte,
        }
        moved as f64 != wanted
    }

    /// Whether element `index` has the same bits on both sides.
    pub fn same(self, one: &[u8], two: &[u8], index: usize) -> bool {
        match self.bits() / 8 {
            0 => nibble(one, index) == nibble(two, index),
            size => one[index * size..][..size] == two[index * size..][..size],
        }
    }

    /// The element's bytes, least significant first; a 4-bit code is one byte.
    pub fn raw(self, bytes: &[u8], index: usize) -> Vec<u8> {
        match self.bits() / 8 {
            0 => vec![nibble(bytes, index)],
            size => bytes[index * size..][..size].to_vec(),
        }
    }

    /// Bytes of [`Element::raw`].
    pub fn raw_size(self) -> usize {
        self.bits().div_ceil(8)
    }

    /// Puts back what [`Element::raw`] gave.
    pub fn put_raw(self, bytes: &mut [u8], index: usize, raw: &[u8]) {
        match self.bits() / 8 {
            0 => {
                let shift = 4 * (index % 2);
                bytes[index / 2] = (bytes[index / 2] & !(0x0f << shift)) | ((raw[0] & 0x0f) << shift);
            }
            size => bytes[index * size..][..size].copy_from_slice(raw),
        }
    }
}

/// A float32 that rounds to a shorter float as `value` itself does: where it is not exact, its last bit is set, so that no
/// tie appears that there was not (rounding to odd; Boldo and Melquiond 2008).
fn to_odd(value: f64) -> f32 {
    let near = value as f32;
    if !near.is_finite() || f64::from(near) == value {
        return near;
    }
    let away = f64::from(near).abs() > value.abs();
    f32::from_bits((near.to_bits() - u32::from(away)) | 1)
}

fn take<const N: usize>(bytes: &[u8], index: usize) -> [u8; N] {
    bytes[index * N..][..N].try_into().expect("the slice has that length")
}

fn nibble(bytes: &[u8], index: usize) -> u8 {
    bytes[index / 2] >> (4 * (index % 2)) & 0x0f
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_negates_about_its_zero_point_and_says_when_it_saturates() {
        for (element, zero) in
            [(Element::I8, 0.0), (Element::I8, 3.0), (Element::U8, 128.0), (Element::U4, 8.0), (Element::I4, 0.0)]
        {
            let (low, high) = element.code_range();
            for code in low..=high {
                let mut bytes = [0x5a_u8, 0x5a];
                element.put_raw(&mut bytes, 1, &[code as u8]);
                let before = bytes;
                let saturated = element.move_code(&mut bytes, 1, zero, -1.0);
                let wanted = 2.0 * zero - code as f64;
                assert_eq!(saturated, wanted < low as f64 || wanted > high as f64, "{element:?} {code}");
                assert_eq!(element.get(&bytes, 1), wanted.clamp(low as f64, high as f64));
                if !saturated {
                    assert!(!element.move_code(&mut bytes, 1, zero, -1.0));
                    assert_eq!(bytes, before);
                }
            }
        }
    }

    #[test]
    fn half_types_round_to_nearest_even() {
        let mut bytes = f16::from_f64(1.0 + 1.0 / 1024.0).to_le_bytes();
        Element::F16.scale(&mut bytes, 0, 1.5);
        assert_eq!(f16::from_le_bytes(bytes).to_f64(), 1.5 + 2.0 / 1024.0);
        let mut bytes = bf16::from_f64(3.0).to_le_bytes();
        Element::BF16.scale(&mut bytes, 0, -0.5);
        assert_eq!(bf16::from_le_bytes(bytes).to_f64(), -1.5);
    }

    fn put(element: Element, value: f64) -> u16 {
        let mut bytes = [0; 2];
        element.put(&mut bytes, 0, value);
        u16::from_le_bytes(bytes)
    }

    /// The nearest of all finite values of the type, ties to even, by trying each: no arithmetic of the library.
    fn nearest(element: Element, value: f64) -> u16 {
        let of = |bits: u16| element.get(&bits.to_le_bytes(), 0);
        let fits = |&bits: &u16| of(bits).is_finite() && of(bits).is_sign_negative() == value.is_sign_negative();
        let off = |bits: u16| (of(bits) - value).abs();
        let all = (0..=u16::MAX).filter(fits);
        all.min_by(|&a, &b| off(a).total_cmp(&off(b)).then((a & 1).cmp(&(b & 1)))).unwrap()
    }

    #[test]
    fn short_floats_are_rounded_once() {
        let tie = |bits: i32| 1.0 + 2_f64.powi(bits);
        // Just above a tie, by less than a float32 can tell: rounded twice, these would go down.
        assert_eq!(put(Element::F16, tie(-11) + 2_f64.powi(-40)), 0x3c01);
        assert_eq!(put(Element::F16, tie(-11)), 0x3c00);
        assert_eq!(put(Element::BF16, tie(-8) + 2_f64.powi(-40)), 0x3f81);
        assert_eq!(put(Element::BF16, -tie(-8) - 2_f64.powi(-40)), 0xbf81);
        assert_eq!(put(Element::BF16, tie(-8)), 0x3f80);
        let mut rng = fastrand::Rng::with_seed(9);
        for _ in 0..40 {
            let value = (rng.f64() - 0.5) * 2_f64.powi(rng.i32(-16..8));
            // Half of them where a float32 would hide on which side of it they lie.
            let close = f64::from(value as f32) + if rng.bool() { value * 1e-12 } else { 0.0 };
            for element in [Element::F16, Element::BF16] {
                assert_eq!(put(element, close), nearest(element, close), "{} {close:e}", element.name());
            }
        }
    }
}
