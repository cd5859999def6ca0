//! A page in one file: sections with pictures, text and tables.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::plot::Picture;

/// A picture with its text.
#[derive(Debug)]
pub struct Figure {
    /// The picture.
    pub picture: Picture,
    /// Its title, for narrow screens.
    pub title: String,
    /// Left, top, width and height of its parts, which narrow screens show one below the other.
    pub parts: Vec<[u32; 4]>,
    /// A description in plain words.
    pub words: String,
}

/// A section of a page.
#[derive(Debug)]
pub struct Section {
    /// Heading.
    pub title: String,
    /// A description in plain words.
    pub words: String,
    /// What looks like a failure, and is deliberate.
    pub expected: Vec<String>,
    /// Its pictures.
    pub figures: Vec<Figure>,
    /// Its table.
    pub table: Option<Markup>,
}

const STYLE: &str = "
:root { color-scheme: light; }
body { font: 16px/1.55 system-ui, 'DejaVu Sans', sans-serif; color: #1c1c1c; background: #fff; max-width: \
1180px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; line-height: 1.25; } h2 { font-size: 1.3rem; margin-top: 2.6rem; border-top: 1px \
solid #ddd; padding-top: 1.2rem; }
figure { margin: 1.2rem 0; } figure svg { max-width: 100%; height: auto; } figcaption { color: #444; \
font-size: .95rem; }
figure h3 { display: none; font-size: 1rem; margin: 0; } svg.part { display: none; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .85rem; width: 100%; }
th, td { padding: .22rem .3rem; text-align: right; vertical-align: bottom; }
th, td { border-bottom: 1px solid #e6e6e6; } td { white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
@media (max-width: 1200px) {
thead { display: none; } table, tbody { display: block; } td { display: block; border: 0; padding: 0; }
tr { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: .25rem .8rem; \
padding: .6rem 0; border-bottom: 1px solid #ddd; }
td, td:first-child { text-align: left; } td:first-child { grid-column: 1 / -1; font-weight: 600; }
td:not(:first-child)::before { content: attr(data-title); display: block; color: #666; font-size: .75rem; }
}
@media (max-width: 700px) {
svg.whole { display: none; } svg.part, figure h3 { display: block; } svg.part { width: 100%; }
}
dt { font-weight: 600; margin-top: .6rem; } dd { margin-left: 1.2rem; }
.proved { border-left: 4px solid #0072b2; } .measured { border-left: 4px solid #009e73; } .paper { \
border-left: 4px solid #cc79a7; } .expected { border-left: 4px solid #e69f00; }
.proved, .measured, .paper, .expected { padding: .1rem 1rem; margin: .8rem 0; background: #fafafa; }
code { background: #f2f2f2; padding: 0 .25em; }";

/// The whole page: a title, an introduction, a list of sections, the sections, and how the page was made.
pub fn page(title: &str, introduction: &Markup, sections: &[Section], made: &[String]) -> String {
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (title) }
                (introduction)
                nav {
                    ol {
                        @for (i, s) in sections.iter().enumerate() {
                            li { a href=(format!("#s{i}")) { (s.title) } }
                        }
                    }
                }
                @for (i, section) in sections.iter().enumerate() {
                    h2 id=(format!("s{i}")) { (section.title) }
                    @if !section.words.is_empty() { p { (section.words) } }
                    @for words in &section.expected { p.expected { strong { "Expected. " } (words) } }
                    @for (j, figure) in section.figures.iter().enumerate() {
                        figure {
                            h3 { (figure.title) }
                            (PreEscaped(inline(figure, &format!("p{i}-{j}"))))
                            figcaption { (figure.words) }
                        }
                    }
                    @if let Some(table) = &section.table { (table) }
                }
                h2 { "How this page was made" }
                ul { @for line in made { li { (line) } } }
            }
        }
    };
    markup.into_string()
}

/// The SVG without its XML declaration, whole for wide screens and in parts for narrow ones. The parts use
/// the lines of the whole, which are on the page once.
fn inline(figure: &Figure, id: &str) -> String {
    let svg = figure.picture.svg();
    let Some((head, lines)) = svg.find("<svg").and_then(|at| svg[at + 4..].split_once('>')) else {
        return String::new();
    };
    let lines = lines.trim_end().trim_end_matches("</svg>");
    let whole = format!("<svg class=\"whole\"{head}><g id=\"{id}\">{lines}</g></svg>");
    let part = |[left, top, width, height]: &[u32; 4]| {
        format!("<svg class=\"part\" viewBox=\"{left} {top} {width} {height}\"><use href=\"#{id}\"/></svg>")
    };
    figure.parts.iter().fold(whole, |page, of| page + &part(of))
}
