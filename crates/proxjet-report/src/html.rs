//! A page in one file: sections with pictures, text and tables.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::plot::Picture;

/// A picture with its text.
#[derive(Debug)]
pub struct Figure {
    /// The picture.
    pub picture: Picture,
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
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .88rem; }
.scroll { overflow-x: auto; }
th, td { padding: .22rem .6rem; text-align: right; border-bottom: 1px solid #e6e6e6; white-space: nowrap; } \
th:first-child, td:first-child { text-align: left; }
dt { font-weight: 600; margin-top: .6rem; } dd { margin-left: 1.2rem; }
.proved { border-left: 4px solid #0072b2; } .measured { border-left: 4px solid #009e73; } .paper { \
border-left: 4px solid #cc79a7; }
.proved, .measured, .paper { padding: .1rem 1rem; margin: .8rem 0; background: #fafafa; }
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
                    p { (section.words) }
                    @for figure in &section.figures {
                        figure { (PreEscaped(inline(&figure.picture))) figcaption { (figure.words) } }
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

/// The SVG without its XML declaration, to be embedded in a page.
fn inline(picture: &Picture) -> String {
    let svg = picture.svg();
    svg.find("<svg").map_or_else(String::new, |at| svg[at..].to_string())
}
