//! How an evaluation ended, to be told elsewhere, and the other way round: an
//! error from elsewhere as that of a command. Texts are in Tcl's own encoding.

use super::{Interp, Obj};
use crate::base::Error;
use crate::tcl_sys as sys;
use libc::c_int;

/// How a script ended that was evaluated as the program's own level does it.
pub struct Ended {
    /// Tcl's completion code: 0 or 1, or what a command made up that is not
    /// to be told as an error.
    pub code: c_int,
    /// Result or message.
    pub result: Obj,
    /// errorCode of an error.
    pub error_code: Option<Obj>,
    /// errorInfo of an error.
    pub error_info: Option<Obj>,
}

impl Interp {
    /// Evaluates a script at global level, as if nothing else were running:
    /// `return` ends it, `break` and `continue` are errors.
    pub fn evaluate_alone(self, script: &Obj) -> Ended {
        // SAFETY: live interpreter and value.
        let code = unsafe { sys::Tcl_EvalObjEx(self.as_ptr(), script.as_ptr(), sys::TCL_EVAL_GLOBAL) };
        let ended = match code {
            sys::TCL_OK => Ended { code, result: self.result(), error_code: None, error_info: None },
            sys::TCL_ERROR => self.error_ended(code),
            sys::TCL_RETURN => self.returned(),
            other => self.unexpected(other),
        };
        self.reset_result();
        ended
    }

    /// An element of the options that belong to the last completion code.
    fn return_option(self, options: &Obj, key: &str) -> Option<Obj> {
        let key = Obj::from_str(key);
        let mut value = std::ptr::null_mut();
        // SAFETY: a live dictionary and key; the value is borrowed from it and
        // referenced at once.
        unsafe {
            let status =
                sys::Tcl_DictObjGet(std::ptr::null_mut(), options.as_ptr(), key.as_ptr(), &mut value);
            (status == sys::TCL_OK && !value.is_null()).then(|| Obj::retain(value))
        }
    }

    fn options(self, code: c_int) -> Obj {
        // SAFETY: a live interpreter; the result is a fresh value.
        unsafe { Obj::retain(sys::Tcl_GetReturnOptions(self.as_ptr(), code)) }
    }

    fn error_ended(self, code: c_int) -> Ended {
        let result = self.result();
        let options = self.options(code);
        Ended {
            code: sys::TCL_ERROR,
            result,
            error_code: self.return_option(&options, "-errorcode"),
            error_info: self.return_option(&options, "-errorinfo"),
        }
    }

    /// A `return` has come up to here, with the code that it was given.
    pub(super) fn returned(self) -> Ended {
        let result = self.result();
        let options = self.options(sys::TCL_RETURN);
        let number = |key| self.return_option(&options, key).and_then(|v| v.small_int()).unwrap_or(0);
        if number("-level") > 1 {
            return self.unexpected(sys::TCL_RETURN);
        }
        match number("-code") {
            sys::TCL_OK => Ended { code: sys::TCL_OK, result, error_code: None, error_info: None },
            sys::TCL_ERROR => Ended {
                code: sys::TCL_ERROR,
                error_code: self
                    .return_option(&options, "-errorcode")
                    .or_else(|| Some(Obj::from_str("NONE"))),
                error_info: self.return_option(&options, "-errorinfo").or_else(|| Some(result.clone())),
                result,
            },
            other => self.unexpected(other),
        }
    }

    /// A completion code that means nothing outside of a loop or procedure.
    fn unexpected(self, code: c_int) -> Ended {
        let message = match code {
            sys::TCL_BREAK => "invoked \"break\" outside of a loop".to_owned(),
            sys::TCL_CONTINUE => "invoked \"continue\" outside of a loop".to_owned(),
            other => format!("command returned bad code: {other}"),
        };
        let words = ["TCL", "UNEXPECTED_RESULT_CODE", &code.to_string()].map(Obj::from_str);
        let result = Obj::from_str(&message);
        Ended {
            code: sys::TCL_ERROR,
            error_code: Some(Obj::from_list(&words)),
            error_info: Some(result.clone()),
            result,
        }
    }

    /// Sets message, errorCode and errorInfo of an error that the command
    /// returns; Tcl goes on with errorInfo from there.
    pub fn set_foreign_error(self, message: &Obj, error_code: &Obj, error_info: Option<&Obj>) {
        self.reset_result();
        if let Some(info) = error_info {
            // With an empty result, errorInfo begins with what is added.
            // SAFETY: live interpreter and value; Tcl copies the text.
            unsafe { sys::Tcl_AppendObjToErrorInfo(self.as_ptr(), info.as_ptr()) };
        }
        self.set_result(message);
        // SAFETY: live interpreter and value; Tcl takes its own reference.
        unsafe { sys::Tcl_SetObjErrorCode(self.as_ptr(), error_code.as_ptr()) };
    }

    /// The value of an error's code.
    pub fn code_of(error: &Error) -> Obj {
        match error.code.as_slice() {
            [] => Obj::from_str("NONE"),
            words => Obj::from_list(&words.iter().map(|w| Obj::from_str(w)).collect::<Vec<_>>()),
        }
    }
}
