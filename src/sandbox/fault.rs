use crate::http::{Request, Response};

/// A way in which a service departs from the API, for trying out what a client makes of it. The names are those of its help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It answers 404 to a page past the last one.
    Past404,
    /// It answers an empty page with `null`.
    PastNull,
    /// It redirects each path to the same one with a slash behind it.
    Redirect,
}

impl Fault {
    /// The fault of that name.
    pub fn from_name(name: &str) -> Option<Fault> {
        match name {
            "past404" => Some(Fault::Past404),
            "pastnull" => Some(Fault::PastNull),
            "redirect" => Some(Fault::Redirect),
            _ => None,
        }
    }

    /// The redirect, if this is the fault and the path has no slash at its end.
    pub(super) fn redirect(self, Request { head, .. }: &Request) -> Option<Response> {
        if self != Fault::Redirect || head.path.ends_with('/') {
            return None;
        }
        let location = format!("{}/?{}", head.path, head.query);
        let redirect = Response::error(307, "Temporary Redirect", "Ask there.");
        Some(redirect.with_header("Location", location))
    }

    /// What is answered for an empty page instead, if this is the fault. `page` counts from 1.
    pub(super) fn empty_page(self, page: u64) -> Option<Response> {
        match self {
            Fault::Past404 if page > 1 => {
                Some(Response::error(404, "Not Found", "There is no such page."))
            }
            Fault::PastNull => Some(Response::json(200, b"null".to_vec())),
            Fault::Past404 | Fault::Redirect => None,
        }
    }
}
