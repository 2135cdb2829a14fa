//! Properties of every type and every value, even nonsensical ones.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_spanned::Spanned;

use super::{array, int, structure};
use crate::globals::{Global, MOST_BYTES, Type, encode};
use crate::value::Value;
use crate::value::tests::{entries, values};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn patches_lie_within_their_variable(
        kind in absurd_types(),
        value in values(),
        offset in select(vec![0, 8, 1 << 40, usize::MAX - 1]),
    ) {
        let size = kind.size();
        let global = Global { name: "v".to_owned(), section: ".data".to_owned(), offset, kind };
        let Ok(patches) = encode(&global, &Spanned::new(0..0, value)) else { return Ok(()) };
        let mut total = 0;
        for patch in patches {
            let end = patch.offset.checked_add(patch.bytes.len());
            let end = end.expect("a patch that has an end");
            prop_assert!(patch.offset >= offset, "{patch:?}");
            prop_assert!(end - offset <= size, "{patch:?} of {size} bytes at {offset}");
            total += patch.bytes.len();
        }
        prop_assert!(total <= MOST_BYTES);
    }

    #[test]
    fn fitting_values_give_the_bytes_that_c_gives((kind, value, expected) in fitting()) {
        let size = kind.size();
        let global = Global { name: "v".to_owned(), section: ".data".to_owned(), offset: 8, kind };
        let mut bytes = vec![None; size];
        for patch in encode(&global, &Spanned::new(0..0, value)).expect("a value that fits") {
            for (place, byte) in (patch.offset - 8..).zip(patch.bytes) {
                bytes[place] = Some(byte);
            }
        }
        prop_assert_eq!(bytes, expected);
    }
}

/// Types that BTF from outside may describe, and some that it may not.
fn absurd_types() -> impl Strategy<Value = Type> {
    let size = || select(vec![0, 1, 2, 3, 4, 8, 9, 16, 17, 1 << 32, usize::MAX]);
    let numbers = || prop_oneof![any::<i128>(), -2..2_i128];
    let enum_values = || vec((select(vec!["A".to_owned(), "a".to_owned()]), numbers()), 0..3);
    let leaves = prop_oneof![
        (size(), any::<bool>()).prop_map(|(size, signed)| int(size, signed)),
        Just(Type::Bool),
        any::<bool>().prop_map(|signed| Type::Char { signed }),
        (size(), any::<bool>(), enum_values()).prop_map(|(size, signed, values)| Type::Enum {
            size,
            signed,
            values
        }),
        size().prop_map(|size| Type::Other { what: "a pointer".to_owned(), size }),
    ];
    leaves.prop_recursive(4, 24, 4, move |inner| {
        let member = (select(vec!["", "a", "b", "c"]), size(), inner.clone());
        prop_oneof![
            (inner, size()).prop_map(|(element, length)| array(element, length)),
            (size(), vec(member, 0..4)).prop_map(|(size, members)| structure(size, &members)),
        ]
    })
}

/// A type, a value that fits it, and the resulting bytes: `None` if a byte is not written.
type Fitting = (Type, Value, Vec<Option<u8>>);

fn fitting() -> impl Strategy<Value = Fitting> {
    well_formed().prop_flat_map(|kind| {
        let value = value_for(&kind);
        value.prop_map(move |(value, bytes)| (kind.clone(), value, bytes))
    })
}

fn well_formed() -> impl Strategy<Value = Type> {
    let leaves = prop_oneof![
        (select(vec![1, 2, 4, 8]), any::<bool>()).prop_map(|(size, signed)| int(size, signed)),
        Just(Type::Bool),
        any::<bool>().prop_map(|signed| Type::Char { signed }),
    ];
    leaves.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            (inner.clone(), 0..5_usize).prop_map(|(element, length)| array(element, length)),
            vec((inner, 0..3_usize), 0..4).prop_map(|members| {
                let mut end = 0;
                let members = members.into_iter().zip(["a", "b", "c", "d"]);
                let members: Vec<_> = members
                    .map(|((kind, padding), name)| {
                        let offset = end + padding;
                        end = offset + kind.size();
                        (name, offset, kind)
                    })
                    .collect();
                structure(end + 1, &members)
            }),
        ]
    })
}

fn value_for(kind: &Type) -> BoxedStrategy<(Value, Vec<Option<u8>>)> {
    let size = kind.size();
    match kind {
        Type::Bool => {
            any::<bool>().prop_map(|it| (Value::Boolean(it), vec![Some(it.into())])).boxed()
        }
        Type::Char { signed } | Type::Int { signed, .. } => {
            let signed = *signed;
            // Any bits are a valid number of that size.
            vec(any::<u8>(), size)
                .prop_map(move |bytes| {
                    let number = number_of(&bytes, signed);
                    (Value::Integer(number), bytes.into_iter().map(Some).collect())
                })
                .boxed()
        }
        Type::Array { element, length } => {
            let one = element.size();
            vec(value_for(element), 0..=*length)
                .prop_map(move |items| {
                    let (items, bytes): (Vec<_>, Vec<_>) = items.into_iter().unzip();
                    let mut all = vec![Some(0); size];
                    for (place, bytes) in (0..).step_by(one.max(1)).zip(bytes) {
                        let written = (place..).zip(bytes).filter(|(_, byte)| byte.is_some());
                        written.for_each(|(place, byte)| all[place] = byte);
                    }
                    let items = items.into_iter().map(|item| Spanned::new(0..0, item));
                    (Value::Array(items.collect()), all)
                })
                .boxed()
        }
        Type::Struct { members, .. } => {
            let members: Vec<_> = members
                .iter()
                .map(|member| {
                    let (name, offset) = (member.name.clone(), member.offset);
                    let value = proptest::option::of(value_for(&member.kind));
                    value.prop_map(move |value| Some((name.clone(), offset, value?)))
                })
                .collect();
            members
                .prop_map(move |members| {
                    let mut all = vec![None; size];
                    let mut table = Vec::new();
                    for (name, offset, (value, bytes)) in members.into_iter().flatten() {
                        all[offset..offset + bytes.len()].clone_from_slice(&bytes);
                        table.push((name, value));
                    }
                    (entries(table), all)
                })
                .boxed()
        }
        Type::Enum { .. } | Type::Other { .. } => unreachable!("these are not well formed"),
    }
}

/// The number whose bytes these are, in the machine's order.
fn number_of(bytes: &[u8], signed: bool) -> i128 {
    let mut significant_first = bytes.to_vec();
    if cfg!(target_endian = "little") {
        significant_first.reverse();
    }
    let number = significant_first.iter().fold(0, |number, byte| number << 8 | i128::from(*byte));
    let negative = signed && significant_first.first().is_some_and(|byte| byte & 0x80 != 0);
    if negative { number - (1 << (8 * bytes.len())) } else { number }
}
