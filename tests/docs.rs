//! Code in the documentation is the real source.

use std::fs;
use std::path::Path;

#[test]
fn code_in_the_pages_on_adding_is_the_real_source() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for page in ["docs/add_a_loss.md", "docs/add_a_penalty.md"] {
        let text = fs::read_to_string(root.join(page)).unwrap();
        let mut blocks = 0;
        for part in text.split("<!-- ").skip(1) {
            let (file, rest) = part.split_once(" -->").unwrap();
            let block = rest.split("```").nth(1).unwrap();
            let code = block.split_once('\n').unwrap().1;
            let source = fs::read_to_string(root.join(file)).unwrap();
            let missing = format!("{page}: the block of {file} is not in it any more: copy it anew");
            assert!(!code.trim().is_empty() && source.contains(code), "{missing}");
            blocks += 1;
        }
        assert_eq!(blocks, 3, "{page}");
    }
}

#[test]
fn files_that_the_readme_names_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for page in [
        "README.md",
        "docs/add_a_loss.md",
        "docs/add_a_penalty.md",
        "docs/architecture.md",
        "docs/derivatives.md",
        "docs/gpu.md",
        "docs/benchmarks.md",
        "docs/certificates.md",
        "docs/coming_from.md",
        "docs/data.md",
        "docs/embedding.md",
        "docs/glossary.md",
        "docs/modes.md",
        "docs/program.md",
        "docs/schedules.md",
        "docs/tutorial.md",
        "shaders/README.md",
    ] {
        let text = fs::read_to_string(root.join(page)).unwrap();
        let folder = root.join(page).parent().unwrap().to_path_buf();
        for target in text.split("](").skip(1).map(|t| t.split(')').next().unwrap()) {
            if !target.starts_with("http") && !target.starts_with('#') {
                assert!(folder.join(target).exists(), "{page} links to {target}");
            }
        }
    }
}
