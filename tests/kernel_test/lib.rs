//! The attribute of the tests on the real kernel: `#[kernel_test]` instead of `#[test]`.
//!
//! A macro around the functions needs no crate of its own, but rustfmt leaves alone what stands in a macro.

use proc_macro::TokenStream;

/// `#[test]`, ignored unless asked for: without root a test is reported as ignored, never as passed.
#[proc_macro_attribute]
pub fn kernel_test(_arguments: TokenStream, function: TokenStream) -> TokenStream {
    let attributes = r#"#[test] #[ignore = "needs root: make test runs it"]"#;
    let mut test: TokenStream = attributes.parse().expect("two attributes are tokens");
    test.extend(function);
    test
}
