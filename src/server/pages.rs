//! The pages for statuses: what the `ns_return...` commands and the server
//! itself say (spec/http.md 3.10).

use super::driver::Driver;
use super::exchange::Exchange;
use super::settings::SERVER;
use crate::http::html::quote;
use crate::http::request_head::Fault;

/// Title and message of the page for a status.
pub fn text(status: u16) -> (&'static str, &'static str) {
    match status {
        400 => ("Invalid Request", "<p>The HTTP request presented by your browser is invalid.</p>"),
        401 => (
            "Access Denied",
            "The requested URL cannot be accessed because a valid username and password are required.",
        ),
        403 => ("Forbidden", "The requested URL cannot be accessed by this server."),
        404 => ("Not Found", "The requested URL was not found on this server."),
        405 => ("Method Not Allowed", "The requested method is not allowed on this server."),
        408 => ("Request Timeout", "The request was not complete in time."),
        413 => ("Request Entity Too Large", "The request entity (body) is too large for this server."),
        414 => ("Request-URI Too Long", "The request URI is too long for this server."),
        431 => (
            "Request Header Fields Too Large",
            "A header field of the request, or all of them, are too large for this server.",
        ),
        503 => (
            "Service Unavailable",
            "The server is temporarily unable to service your request. Please try again later.",
        ),
        505 => ("HTTP Version Not Supported", "This server speaks HTTP/1.0 and HTTP/1.1."),
        _ => ("Server Error", "The requested URL cannot be accessed due to a system error on this server."),
    }
}

/// A page: `title` is text, `message` HTML.
pub fn page(driver: &Driver, status: u16, title: &str, message: &str) -> String {
    let title = quote(title);
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang='en'>\n<head>\n  <meta charset='UTF-8'>\n  \
         <meta name='viewport' content='width=device-width, initial-scale=1.0'>\n  \
         <title>{title}</title>\n</head>\n<body>\n<h2>{title}</h2>\n{message}\n"
    );
    if driver.settings.notice_detail && driver.settings.server_header.is_some() {
        html.push_str(&format!(
            "<p style='text-align: right; font-size: small; font-style: italic;'>{SERVER} on {}</p>\n",
            quote(&driver.location())
        ));
    }
    // Some browsers show a page of their own in place of a short one.
    while status >= 400 && html.len() < driver.settings.error_min_size {
        html.push_str("                    ");
    }
    html.push_str("\n</body></html>\n");
    html
}

/// The type of the pages.
const HTML: &str = "text/html; charset=utf-8";

impl Exchange {
    /// Sends a page as the response, with more fields than its type.
    pub fn respond_page(&mut self, status: u16, title: &str, message: &str, fields: &[(&str, &str)]) -> bool {
        self.set_status(status);
        let html = page(&self.connection.driver, status, title, message);
        let mut all = fields.to_vec();
        all.push(("content-type", HTML));
        self.respond_text_with(status, &all, html.as_bytes())
    }

    /// Sends the page for a status; those for 500 and 503 drop what scripts have
    /// prepared.
    pub fn respond_status(&mut self, status: u16) -> bool {
        if matches!(status, 500 | 503) {
            self.drop_output();
        }
        let (title, message) = text(status);
        match status {
            401 if self.output_field("www-authenticate").is_none() => {
                let realm = self.connection.driver.settings.realm.replace(['"', '\\'], "");
                let challenge = format!("Basic realm=\"{realm}\"");
                self.respond_page(status, title, message, &[("www-authenticate", &challenge)])
            }
            _ => self.respond_page(status, title, message, &[]),
        }
    }
}

/// The whole answer to what is no request; the connection is closed behind it.
pub fn fault_response(driver: &Driver, fault: &Fault) -> Vec<u8> {
    let (title, message) = text(fault.status);
    let html = page(driver, fault.status, title, message);
    let mut out = format!(
        "HTTP/1.1 {} {}\r\ncontent-type: {HTML}\r\ncontent-length: {}\r\nconnection: close\r\ndate: ",
        fault.status,
        crate::http::status::reason(fault.status),
        html.len()
    )
    .into_bytes();
    super::clock::push_date(&mut out);
    out.extend_from_slice(b"\r\n");
    if let Some(server) = &driver.settings.server_header {
        out.extend_from_slice(format!("server: {server}\r\n").as_bytes());
    }
    if fault.status == 503 {
        out.extend_from_slice(format!("retry-after: {}\r\n", driver.settings.retry_after).as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(html.as_bytes());
    out
}
