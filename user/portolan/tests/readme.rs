//! The program that the README shows is the one that is built and run.

const README: &str = include_str!("../../../README.md");
const HELLO: &str = include_str!("../../hello/src/main.rs");

#[test]
fn the_readme_shows_hello_as_it_is() {
    assert!(README.contains(&format!("```rust\n{HELLO}```\n")), "README.md shows an older user/hello");
}
