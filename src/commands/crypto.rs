//! `ns_crypto::md`, `ns_crypto::hmac`, `ns_crypto::randombytes`,
//! `ns_crypto::uuid`, and their older names (spec/support.md 4.6, 5.5, 6.4).

use super::bytes::{encoded, input, ENCODING};
use crate::base::{Error, Result};
use crate::crypto::{self, Hmac, Md};
use crate::tcl::args::{word, Kind, Opt, Syntax, MAX_INT};
use crate::tcl::command::CommandProc;
use crate::tcl::{lifetime, subcommand, Interp, Obj, Outcome};
use openssl::hash::MessageDigest;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;

pub(super) const COMMANDS: &[(&str, CommandProc)] = &[
    ("::ns_crypto::hmac", hmac),
    ("::ns_crypto::md", md),
    ("::ns_crypto::randombytes", random_bytes),
    ("::ns_crypto::uuid", uuid),
    ("ns_hmac", hmac),
    ("ns_md", md),
    ("ns_md5", |interp, words| fixed(interp, words, "md5")),
    ("ns_rand", rand),
    ("ns_sha1", |interp, words| fixed(interp, words, "sha1")),
    ("ns_uuid", uuid),
];

type Subcommand = fn(Interp, &[Obj], &[Obj]) -> Result<Option<Obj>>;

fn dispatch(interp: Interp, words: &[Obj], table: &[(&'static str, Subcommand)]) -> Outcome {
    let run = subcommand::exact(words, table)?;
    if let Some(result) = run(interp, &words[..2], &words[2..])? {
        interp.set_result(&result);
    }
    Ok(())
}

const BINARY: Opt = Opt::flag("-binary");
const DIGEST: Opt = Opt::valued("-digest", Kind::Any, "value");

fn chosen(digest: Option<String>) -> Result<MessageDigest> {
    digest.map_or_else(|| Ok(MessageDigest::sha256()), |name| crypto::digest(&name))
}

/// Hashes that are being made, by handle, for each interpreter.
struct Table<T> {
    prefix: &'static str,
    made: Cell<u64>,
    all: RefCell<HashMap<String, T>>,
}

impl<T> Table<T> {
    fn new(prefix: &'static str) -> Table<T> {
        Table { prefix, made: Cell::new(0), all: RefCell::default() }
    }

    fn create(&self, value: T) -> Obj {
        let handle = format!("{}{}", self.prefix, self.made.replace(self.made.get() + 1));
        self.all.borrow_mut().insert(handle.clone(), value);
        Obj::from_str(&handle)
    }

    fn with<R>(&self, handle: &Obj, use_it: impl FnOnce(&mut T) -> Result<R>) -> Result<R> {
        use_it(self.all.borrow_mut().get_mut(&*handle.text()).ok_or_else(|| invalid(handle))?)
    }

    fn free(&self, handle: &Obj) -> Result<()> {
        self.all.borrow_mut().remove(&*handle.text()).map(|_| ()).ok_or_else(|| invalid(handle))
    }
}

fn invalid(handle: &Obj) -> Error {
    Error::new(format!("invalid address \"{}\"", handle.text()))
}

struct Mds(Table<Md>);

impl Default for Mds {
    fn default() -> Mds {
        Mds(Table::new("md"))
    }
}

struct Hmacs(Table<Hmac>);

impl Default for Hmacs {
    fn default() -> Hmacs {
        Hmacs(Table::new("hmac"))
    }
}

const ADD: Syntax<1, 2> = Syntax {
    options: [BINARY],
    ends_options: true,
    words: [word("handle", Kind::Any), word("message", Kind::Any)],
    required: 2,
};
const GET: Syntax<1, 1> =
    Syntax { options: [ENCODING], ends_options: true, words: [word("handle", Kind::Any)], required: 1 };
const FREE: Syntax<0, 1> =
    Syntax { options: [], ends_options: false, words: [word("handle", Kind::Any)], required: 1 };

/// `ns_crypto::md add|free|get|new|string`.
fn md(interp: Interp, words: &[Obj]) -> Outcome {
    const SUBCOMMANDS: &[(&str, Subcommand)] = &[
        ("add", |interp, name, args| {
            let parsed = ADD.parse(interp, name, args)?;
            let bytes = input(parsed.word(1).obj, parsed.has(0))?;
            lifetime::state::<Mds>(interp).0.with(parsed.word(0).obj, |md| md.add(&bytes))?;
            Ok(None)
        }),
        ("free", |interp, name, args| {
            lifetime::state::<Mds>(interp).0.free(FREE.parse(interp, name, args)?.word(0).obj)?;
            Ok(None)
        }),
        ("get", |interp, name, args| {
            let parsed = GET.parse(interp, name, args)?;
            let bytes = lifetime::state::<Mds>(interp).0.with(parsed.word(0).obj, |md| md.get())?;
            Ok(Some(encoded(&bytes, parsed.options[0].map(|v| v.number()))))
        }),
        ("new", |interp, name, args| {
            const SYNTAX: Syntax<0, 1> =
                Syntax { options: [], ends_options: false, words: [word("digest", Kind::Any)], required: 1 };
            let parsed = SYNTAX.parse(interp, name, args)?;
            let md = Md::new(crypto::digest(&parsed.word(0).obj.text())?)?;
            Ok(Some(lifetime::state::<Mds>(interp).0.create(md)))
        }),
        ("string", md_string),
    ];
    dispatch(interp, words, SUBCOMMANDS)
}

fn md_string(interp: Interp, name: &[Obj], args: &[Obj]) -> Result<Option<Obj>> {
    const SYNTAX: Syntax<7, 1> = Syntax {
        options: [
            BINARY,
            DIGEST,
            ENCODING,
            Opt::valued("-passphrase", Kind::Any, "value"),
            Opt::valued("-sign", Kind::Any, "value"),
            Opt::valued("-signature", Kind::Any, "value"),
            Opt::valued("-verify", Kind::Any, "value"),
        ],
        ends_options: true,
        words: [word("message", Kind::Any)],
        required: 1,
    };
    let parsed = SYNTAX.parse(interp, name, args)?;
    let digest = chosen(parsed.text(1))?;
    let message = input(parsed.word(0).obj, parsed.has(0))?;
    let passphrase = parsed.text(3).unwrap_or_default();
    if let Some(pem) = parsed.text(6) {
        let Some(signature) = parsed.options[5] else {
            return Err(Error::new("-verify requires the option -signature"));
        };
        let signature = input(signature.obj, false)?;
        let valid = crypto::verify(digest, &pem_text(&pem)?, passphrase.as_bytes(), &signature, &message)?;
        return Ok(Some(Obj::from_int(i64::from(valid))));
    }
    let bytes = match parsed.text(4) {
        Some(pem) => crypto::sign(digest, &pem_text(&pem)?, passphrase.as_bytes(), &message)?,
        None => crypto::md(digest, &message)?,
    };
    Ok(Some(encoded(&bytes, parsed.options[2].map(|v| v.number()))))
}

/// A key as it was given, or from the file of that name.
fn pem_text(given: &str) -> Result<Vec<u8>> {
    if given.contains("-----BEGIN ") {
        return Ok(given.as_bytes().to_vec());
    }
    std::fs::read(given).map_err(|error| {
        let code = error.raw_os_error().unwrap_or_default();
        Error::posix(format!("couldn't read \"{given}\": {}", crate::base::errno::message(code)), code)
    })
}

/// `ns_crypto::hmac add|free|get|new|string`.
fn hmac(interp: Interp, words: &[Obj]) -> Outcome {
    const SUBCOMMANDS: &[(&str, Subcommand)] = &[
        ("add", |interp, name, args| {
            let parsed = ADD.parse(interp, name, args)?;
            let bytes = input(parsed.word(1).obj, parsed.has(0))?;
            lifetime::state::<Hmacs>(interp).0.with(parsed.word(0).obj, |hmac| hmac.add(&bytes))?;
            Ok(None)
        }),
        ("free", |interp, name, args| {
            lifetime::state::<Hmacs>(interp).0.free(FREE.parse(interp, name, args)?.word(0).obj)?;
            Ok(None)
        }),
        ("get", |interp, name, args| {
            let parsed = GET.parse(interp, name, args)?;
            let bytes = lifetime::state::<Hmacs>(interp).0.with(parsed.word(0).obj, |hmac| hmac.get())?;
            Ok(Some(encoded(&bytes, parsed.options[0].map(|v| v.number()))))
        }),
        ("new", |interp, name, args| {
            const SYNTAX: Syntax<1, 2> = Syntax {
                options: [BINARY],
                ends_options: true,
                words: [word("digest", Kind::Any), word("key", Kind::Any)],
                required: 2,
            };
            let parsed = SYNTAX.parse(interp, name, args)?;
            let key = input(parsed.word(1).obj, parsed.has(0))?;
            let hmac = Hmac::new(crypto::digest(&parsed.word(0).obj.text())?, &key)?;
            Ok(Some(lifetime::state::<Hmacs>(interp).0.create(hmac)))
        }),
        ("string", |interp, name, args| {
            const SYNTAX: Syntax<3, 2> = Syntax {
                options: [BINARY, DIGEST, ENCODING],
                ends_options: true,
                words: [word("key", Kind::Any), word("message", Kind::Any)],
                required: 2,
            };
            let parsed = SYNTAX.parse(interp, name, args)?;
            let binary = parsed.has(0);
            let mut hmac = Hmac::new(chosen(parsed.text(1))?, &input(parsed.word(0).obj, binary)?)?;
            hmac.add(&input(parsed.word(1).obj, binary)?)?;
            Ok(Some(encoded(&hmac.get()?, parsed.options[2].map(|v| v.number()))))
        }),
    ];
    dispatch(interp, words, SUBCOMMANDS)
}

/// `ns_md5 string`, `ns_sha1 string`: in upper case.
fn fixed(interp: Interp, words: &[Obj], digest: &str) -> Outcome {
    const SYNTAX: Syntax<1, 1> =
        Syntax { options: [BINARY], ends_options: true, words: [word("string", Kind::Any)], required: 1 };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let bytes = crypto::md(crypto::digest(digest)?, &input(parsed.word(0).obj, parsed.has(0))?)?;
    interp.set_result(&Obj::from_str(&crypto::hex(&bytes).to_ascii_uppercase()));
    Ok(())
}

/// `ns_crypto::randombytes ?-encoding e? nrbytes`.
fn random_bytes(interp: Interp, words: &[Obj]) -> Outcome {
    /// More at once would be a mistake, and take the memory for nothing.
    const MOST: usize = 1 << 30;
    const SYNTAX: Syntax<1, 1> = Syntax {
        options: [ENCODING],
        ends_options: false,
        words: [word("nrbytes[1,MAX]", Kind::Range("nrbytes", 1, MAX_INT))],
        required: 1,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let number = parsed.word(0).number() as usize;
    if number > MOST {
        return Err(Error::new(format!("cannot make {number} random bytes at once")).into());
    }
    let bytes = crypto::random_bytes(number)?;
    interp.set_result(&encoded(&bytes, parsed.options[0].map(|v| v.number())));
    Ok(())
}

/// `ns_uuid`.
fn uuid(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 0> = Syntax { options: [], ends_options: false, words: [], required: 0 };
    SYNTAX.parse(interp, &words[..1], &words[1..])?;
    interp.set_result(&Obj::from_str(&crypto::uuid()?));
    Ok(())
}

/// `ns_rand ?max?`: a number below 1, or an integer below `max`.
fn rand(interp: Interp, words: &[Obj]) -> Outcome {
    const SYNTAX: Syntax<0, 1> = Syntax {
        options: [],
        ends_options: false,
        words: [word("maximum[1,MAX]", Kind::Range("maximum", 1, i64::MAX))],
        required: 0,
    };
    let parsed = SYNTAX.parse(interp, &words[..1], &words[1..])?;
    let bytes: [u8; 8] = crypto::random_bytes(8)?.try_into().unwrap_or_default();
    let random = u64::from_le_bytes(bytes);
    interp.set_result(&match parsed.words[0] {
        // Of 64 bits the remainder is even enough.
        Some(most) => Obj::from_count(random % most.number().unsigned_abs()),
        // The 53 bits that a float holds exactly.
        None => Obj::from_float((random >> 11) as f64 / (1u64 << 53) as f64),
    });
    Ok(())
}
