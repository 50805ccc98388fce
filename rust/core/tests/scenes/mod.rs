//! Random boxes for the geometry tests: one seeded generator, and families of pairs that are hard for rotated IoU. A
//! failure prints the boxes themselves, so it can be reproduced without the seed.
#![allow(dead_code, missing_docs)] // each test binary uses its own part

use rotx_core::geom::{Quad, RBox};
use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, PI};

/// SplitMix64 (Steele, Lea and Flood 2014).
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in [low, high).
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.next() >> 11) as f64 * f64::EPSILON / 2.0
    }

    /// Log-uniform in [low, high).
    pub fn log_between(&mut self, low: f64, high: f64) -> f64 {
        self.between(low.ln(), high.ln()).exp()
    }

    /// Uniform in 0, 1, …, n − 1.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    pub fn sign(&mut self) -> f64 {
        self.pick(&[-1.0, 1.0])
    }

    /// Any angle, often one of those that make edges parallel to an axis or to each other.
    pub fn angle(&mut self) -> f64 {
        match self.below(4) {
            0 => self.pick(&[0.0, FRAC_PI_4, FRAC_PI_2, PI, -FRAC_PI_2, -FRAC_PI_4, -PI, 3.0 * FRAC_PI_4]),
            _ => self.between(-2.0 * PI, 2.0 * PI),
        }
    }
}

/// The point at `u`, `v` in the box's frame; the box is |u| ≤ w/2, |v| ≤ h/2.
pub fn at(rbox: &RBox, u: f64, v: f64) -> (f64, f64) {
    let (sin, cos) = rbox[4].sin_cos();
    (rbox[0] + u * cos - v * sin, rbox[1] + u * sin + v * cos)
}

pub fn generic(rng: &mut Rng) -> RBox {
    let (x, y) = (rng.between(0.0, 1000.0), rng.between(0.0, 1000.0));
    [x, y, rng.log_between(2.0, 500.0), rng.log_between(2.0, 500.0), rng.angle()]
}

/// Two boxes that mostly meet.
fn near(rng: &mut Rng) -> (RBox, RBox) {
    let (a, mut b) = (generic(rng), generic(rng));
    let reach = 0.4 * (a[2] + b[2]);
    (b[0], b[1]) = (a[0] + rng.between(-reach, reach), a[1] + rng.between(-reach, reach));
    (a, b)
}

/// A box, and a copy with every number changed by 1e-16 to 1e-3 of its size, possibly in another spelling.
fn near_equal(rng: &mut Rng) -> (RBox, RBox) {
    let a = generic(rng);
    let step = rng.log_between(1e-16, 1e-3);
    let mut by = || rng.between(-step, step);
    let b = [a[0] + by() * a[2], a[1] + by() * a[3], a[2] * (1.0 + by()), a[3] * (1.0 + by()), a[4] + by()];
    (a, rng.pick(&spellings(&b)))
}

fn nested(rng: &mut Rng) -> (RBox, RBox) {
    let a = generic(rng);
    let (w, h) = (a[2] * rng.between(0.01, 0.99), a[3] * rng.between(0.01, 0.99));
    // Free within the outer box, or touching one of its sides or corners from inside.
    let mut place = |room: f64| rng.pick(&[-1.0, 0.0, 1.0, 0.3]) * 0.5 * room;
    let (x, y) = at(&a, place(a[2] - w), place(a[3] - h));
    let b = [x, y, w, h, a[4]];
    (a, rng.pick(&spellings(&b)))
}

/// Side by side: a common edge or part of one, or corner to edge.
fn touching(rng: &mut Rng) -> (RBox, RBox) {
    let a = generic(rng);
    let (w, h) = (rng.log_between(2.0, 500.0), rng.log_between(2.0, 500.0));
    let slide = rng.pick(&[0.0, 0.5 * (a[3] - h), 0.5 * (a[3] + h), 0.21 * (a[3] + h)]);
    if rng.below(2) == 0 {
        let (x, y) = at(&a, rng.sign() * 0.5 * (a[2] + w), slide);
        return (a, [x, y, w, h, a[4]]);
    }
    let turn = rng.between(0.1, 1.4);
    let reach = 0.5 * (w * turn.cos() + h * turn.sin());
    let (x, y) = at(&a, 0.5 * a[2] + reach, slide);
    (a, [x, y, w, h, a[4] + turn])
}

/// Overlapping boxes of the same direction that share one or two edge lines.
fn collinear(rng: &mut Rng) -> (RBox, RBox) {
    let a = generic(rng);
    let mut side = |same: f64| if rng.below(2) == 0 { same } else { rng.log_between(2.0, 500.0) };
    let (w, h) = (side(a[2]), side(a[3]));
    let (u, v) = (0.5 * rng.sign() * (a[2] - w), 0.5 * rng.sign() * (a[3] - h));
    let (x, y) = match rng.below(3) {
        0 => at(&a, u, v),
        1 => at(&a, u, rng.between(-h, h)),
        _ => at(&a, rng.between(-w, w), v),
    };
    (a, rng.pick(&spellings(&[x, y, w, h, a[4]])))
}

fn same_angle(rng: &mut Rng) -> (RBox, RBox) {
    let (a, mut b) = near(rng);
    b[4] = a[4];
    (a, b)
}

/// Aspect ratios up to 1e4.
fn thin(rng: &mut Rng) -> (RBox, RBox) {
    let (mut a, mut b) = near(rng);
    for rbox in [&mut a, &mut b] {
        rbox[3] = rbox[2] / rng.log_between(1.0, 1e4);
    }
    if rng.below(2) == 0 {
        b[4] = a[4] + rng.sign() * rng.log_between(1e-9, 1e-2); // nearly parallel slivers
        (b[0], b[1]) = at(&a, rng.between(-0.5, 0.5) * a[2], rng.between(-1.0, 1.0) * a[3]);
    }
    (a, b)
}

/// Sizes from 1e-3 to 1e5.
fn sizes(rng: &mut Rng) -> (RBox, RBox) {
    let (a, mut b) = (generic(rng), generic(rng));
    let scale = rng.log_between(1e-3, 1e3);
    let mut a = a.map(|v| v * scale);
    a[4] = b[4] * rng.pick(&[1.0, -1.0, 0.5]);
    b[2] = rng.log_between(1e-3, 1e5);
    b[3] = rng.log_between(0.1, 10.0) * b[2];
    (b[0], b[1]) = at(&a, rng.between(-0.6, 0.6) * (a[2] + b[2]), rng.between(-0.6, 0.6) * (a[3] + b[3]));
    (a, b)
}

/// Whole numbers and multiples of 45 degrees: edges and corners meet exactly.
fn integer(rng: &mut Rng) -> (RBox, RBox) {
    let mut rbox = || {
        let mut whole = |low: f64, n: usize| low + rng.below(n) as f64;
        let [x, y, w, h] = [whole(-6.0, 12), whole(-6.0, 12), whole(1.0, 9), whole(1.0, 9)];
        [x, y, w, h, FRAC_PI_4 * whole(-8.0, 17)]
    };
    (rbox(), rbox())
}

pub type Family = (&'static str, fn(&mut Rng) -> (RBox, RBox));

/// Every family of pairs.
pub const FAMILIES: [Family; 9] = [
    ("near", near),
    ("near_equal", near_equal),
    ("nested", nested),
    ("touching", touching),
    ("collinear", collinear),
    ("same_angle", same_angle),
    ("thin", thin),
    ("sizes", sizes),
    ("integer", integer),
];

/// Other representations of the same rectangle: rotated by 180 degrees, w and h swapped, and each angle version.
pub fn spellings(rbox: &RBox) -> [RBox; 8] {
    let [x, y, w, h, a] = *rbox;
    let (long, short, along) = if w < h { (h, w, a + FRAC_PI_2) } else { (w, h, a) };
    let quarter = a - FRAC_PI_2 * (a / FRAC_PI_2).floor(); // in [0, π/2)
    let turns = ((a - quarter) / FRAC_PI_2).round() as i64;
    let (ow, oh) = if turns.rem_euclid(2) == 0 { (w, h) } else { (h, w) };
    let oc = if quarter == 0.0 { [x, y, oh, ow, FRAC_PI_2] } else { [x, y, ow, oh, quarter] };
    let half_turn_from = |low: f64| along - PI * ((along - low) / PI).floor();
    [
        *rbox,
        [x, y, w, h, a + PI],
        [x, y, w, h, a - PI],
        [x, y, h, w, a + FRAC_PI_2],
        [x, y, h, w, a - FRAC_PI_2],
        oc,
        [x, y, long, short, half_turn_from(-FRAC_PI_2)], // le90
        [x, y, long, short, half_turn_from(-FRAC_PI_4)], // le135
    ]
}

/// The same quad from every first corner, in both orientations.
pub fn orders(quad: &Quad) -> [Quad; 8] {
    let points = quad.as_chunks::<2>().0;
    std::array::from_fn(|k| {
        let point = |i: usize| points[if k < 4 { (k + i) % 4 } else { (k + 4 - i) % 4 }];
        let [p, q, r, s] = [point(0), point(1), point(2), point(3)];
        [p[0], p[1], q[0], q[1], r[0], r[1], s[0], s[1]]
    })
}

/// Four random corners: about a third convex, a third non-convex, a third self-intersecting.
pub fn any_quad(rng: &mut Rng) -> Quad {
    match rng.below(3) {
        0 => std::array::from_fn(|_| rng.below(7) as f64), // corners and edges that coincide
        _ => std::array::from_fn(|_| rng.between(0.0, 100.0)),
    }
}
