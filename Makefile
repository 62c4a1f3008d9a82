# ns_connchan for Tcl: build, try, test, measure, install.
#
#   make demo      builds it and starts a chat for the browser
#   make demo-echo builds and runs an echo server, drives it, shows figures
#   make test      every test: cargo's, and the tcltest suites under each tclsh
#   make fuzz      the WebSocket codec against random input, FUZZ seconds a target
#   make autobahn  the Autobahn suite of WebSocket, as server and as client
#   make bench     performance, in ratios to peers measured in the same run
#   make install   PREFIX (default /usr/local) and DESTDIR are honoured
#
# What is missing on a Debian system is installed by `make deps` when run as
# root, or named, with the command that installs it.

PREFIX  ?= /usr/local
DESTDIR ?=
CARGO   ?= cargo
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
TARGET  := $(abspath $(or $(CARGO_TARGET_DIR),target))/release
PKGDIR  := $(DESTDIR)$(PREFIX)/lib/tcltk/ns_connchan$(VERSION)
MANDIR  := $(DESTDIR)$(PREFIX)/share/man/mann

export TCLLIBPATH := $(TARGET)

.PHONY: all build deps demo demo-echo test test-rust test-tcl lint fuzz bench soak autobahn valgrind install uninstall clean

all: build

build: deps-build
	$(CARGO) build --release

# Packages for building, and those that the tests use besides.
.PHONY: deps-build deps-test
deps-build:
	@tests/support/deps build
deps-test:
	@tests/support/deps test
	@tests/support/deps browser
deps: deps-build deps-test

demo: build
	@tests/support/deps demo
	@examples/demo

demo-echo: build
	@tests/support/deps demo
	@examples/demo-echo

test: build deps-test test-rust test-tcl

test-rust:
	$(CARGO) test --release --workspace

# The suites under every tclsh found: 8.6, and 9.0 where there is one.
test-tcl: build deps-test
	@tests/support/each-tclsh tests/all.tcl $(TESTFLAGS)

# The fuzz targets too, which are a workspace of their own.
lint:
	@tests/support/deps fuzz
	$(CARGO) fmt --check
	$(CARGO) clippy --release --workspace --all-targets -- -D warnings
	cd fuzz && $(CARGO) fmt --check
	cd fuzz && $(CARGO) clippy --target-dir target -- -D warnings

FUZZ ?= 30
fuzz:
	@tests/support/deps fuzz
	@fuzz/run $(FUZZ)

bench: build deps-test
	$(CARGO) run --release -p benches --bin bench -- $(BENCHFLAGS)
	@ONE_BY_ONE=1 tests/support/each-tclsh benches/socks.tcl "$(TARGET)/bench load"

# A million channels opened, used and closed: memory and descriptors must end
# as they began.
SOAK ?= 1000000
soak: build deps-test
	@tests/support/each-tclsh tests/soak.tcl $(SOAK)

# The Autobahn suite's 517 cases, as server and as client, under each tclsh; CASES and AUTOBAHNFLAGS
# choose (tests/support/autobahn --help). Some six minutes a tclsh.
CASES ?= *
autobahn: build
	@tests/support/autobahn --cases '$(CASES)' $(AUTOBAHNFLAGS)

valgrind: build deps-test
	@tests/support/valgrind

# Data races and lock orders of the reactor threads' stress test, under helgrind.
.PHONY: races
races: build deps-test
	@tests/support/races

install: build
	install -d $(PKGDIR) $(MANDIR)
	install -m 755 $(TARGET)/libns_connchan.so $(PKGDIR)/
	ln -sf libns_connchan.so $(PKGDIR)/libnsproxy.so
	install -m 644 $(TARGET)/*.tcl $(PKGDIR)/
	install -m 644 docs/*.n $(MANDIR)/

uninstall:
	rm -rf $(PKGDIR)
	cd docs && for page in *.n; do rm -f $(MANDIR)/$$page; done

clean:
	$(CARGO) clean
