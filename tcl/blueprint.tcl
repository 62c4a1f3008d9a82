# blueprint.tcl -- what an interpreter knows, as a script for another one.
#
# ns_connchan::blueprint returns a script with the packages, namespaces, procs, namespace variables,
# imports, ensembles and aliases of this interpreter, and with what nsf and nx have defined. Threads
# for jobs and the like begin with it. Not in it are global variables, channels, traces, and commands
# that other libraries have made.

namespace eval ::ns_connchan {
    namespace eval blueprint {
        # Namespaces that a new interpreter, or a package that it requires, has by itself.
        variable foreign {
            ::tcl ::oo ::zlib ::zipfs ::thread ::tsv ::tpool ::ttrace ::auto_mkindex_parser ::ns_connchan ::pkg
            ::safe ::msgcat ::platform ::dde ::registry
        }
        # Those of packages, which others may use when the package is not there.
        variable packaged {::nsf nsf ::nx nx ::xotcl nsf ::ws ws}
        # Packages that are provided without being asked for.
        variable builtin {
            Tcl ns_connchan TclOO oo tcl::oo tcl::tommath zlib tcl::zlib zipfs tcl::zipfs tcl::idna cookiejar
        }
    }
}

# The script.
proc ::ns_connchan::blueprint {} {
    set own [blueprint::Packages required]
    set script "namespace eval ::ns_connchan {}\n[blueprint::Proc ::ns_connchan::cleanup]\n"
    foreach {name version} $required {
        append script [list catch [list package require -exact $name $version]]\n
    }
    foreach {name version} $own {
        append script [list package provide $name $version]\n
    }
    set namespaces [blueprint::Namespaces ::]
    foreach namespace [lrange $namespaces 1 end] {
        append script [list namespace eval $namespace {}]\n
    }
    foreach namespace $namespaces {
        append script [blueprint::Definitions $namespace]
    }
    append script [blueprint::Objects]
    foreach namespace $namespaces {
        append script [blueprint::Links $namespace]
    }
    append script [blueprint::Aliases]
    return $script
}

# Packages with their versions: those that are written in Tcl, whose definitions are copied, and in
# `requiredName` those that have to be loaded.
proc ::ns_connchan::blueprint::Packages {requiredName} {
    variable builtin
    upvar 1 $requiredName required
    set required {}
    set own {}
    foreach name [package names] {
        set version [package provide $name]
        if {$version eq "" || $name in $builtin} {
            continue
        }
        set how [package ifneeded $name $version]
        if {[regexp {^(nsf|nx|nx::.*|xotcl.*|ws)$} $name] || [regexp {\mload\M} $how]} {
            lappend required $name $version
        } else {
            lappend own $name $version
        }
    }
    # What others are built on comes first.
    set first {}
    foreach name {nsf nx} {
        if {[dict exists $required $name]} {
            lappend first $name [dict get $required $name]
            dict unset required $name
        }
    }
    set required [concat $first $required]
    return $own
}

# A namespace and those below it, without the foreign ones.
proc ::ns_connchan::blueprint::Namespaces {namespace} {
    variable foreign
    variable packaged
    set found [list $namespace]
    foreach child [lsort [namespace children $namespace]] {
        if {$child in $foreign || [IsObject $child]} {
            continue
        }
        if {[dict exists $packaged $child] && [package provide [dict get $packaged $child]] ne ""} {
            continue
        }
        lappend found {*}[Namespaces $child]
    }
    return $found
}

# Whether a name is that of an object of nsf's, which brings its namespace itself.
proc ::ns_connchan::blueprint::IsObject {name} {
    return [expr {[namespace which -command ::nsf::object::exists] ne "" && [::nsf::object::exists $name]}]
}

# Variables and procs of a namespace, without the variables of the global one.
proc ::ns_connchan::blueprint::Definitions {namespace} {
    set script ""
    set prefix [expr {$namespace eq "::" ? "::" : "${namespace}::"}]
    if {$namespace ne "::"} {
        foreach variable [lsort [info vars [Literal $prefix]*]] {
            if {[array exists $variable]} {
                append script [list array set $variable [array get $variable]]\n
            } elseif {[info exists $variable]} {
                append script [list set $variable [set $variable]]\n
            } else {
                append script [list namespace eval $namespace [list variable [namespace tail $variable]]]\n
            }
        }
        set path [namespace eval $namespace {namespace path}]
        if {$path ne ""} {
            append script [list namespace eval $namespace [list namespace path $path]]\n
        }
        set handler [namespace eval $namespace {namespace unknown}]
        if {$handler ne ""} {
            append script [list namespace eval $namespace [list namespace unknown $handler]]\n
        }
    }
    set procs [info procs [Literal $prefix]*]
    foreach command [lsort $procs] {
        if {[IsOwn $command] && ($namespace ne "::" || [namespace tail $command] ni $::ns_connchan::initialProcs)} {
            append script [Proc $command]\n
        }
    }
    if {[namespace which -command ::nsf::cmd::info] ne ""} {
        foreach command [lsort [info commands [Literal $prefix]*]] {
            if {$command ni $procs && ![catch {::nsf::cmd::info type $command} type] && $type eq "nsfproc"} {
                append script [::nsf::cmd::info definition $command]\n
            }
        }
    }
    return $script
}

# A pattern that matches just the text.
proc ::ns_connchan::blueprint::Literal {text} {
    return [string map {\\ \\\\ * \\* ? \\? \[ \\\[ \] \\\]} $text]
}

# Whether a command is no import.
proc ::ns_connchan::blueprint::IsOwn {command} {
    return [expr {[namespace origin $command] eq $command}]
}

proc ::ns_connchan::blueprint::Proc {name} {
    set arguments {}
    foreach argument [info args $name] {
        if {[info default $name $argument default]} {
            lappend arguments [list $argument $default]
        } else {
            lappend arguments [list $argument]
        }
    }
    return [list proc $name $arguments [info body $name]]
}

# What nx has defined.
proc ::ns_connchan::blueprint::Objects {} {
    if {[package provide nx] eq "" || [catch {package require nx::serializer}]} {
        return ""
    }
    if {[catch {::Serializer all} script]} {
        ns_log Warning "objects of nx are not copied to threads: $script"
        return ""
    }
    return $script\n
}

# What refers to commands that exist by then: exports, imports and ensembles.
proc ::ns_connchan::blueprint::Links {namespace} {
    set script ""
    set prefix [expr {$namespace eq "::" ? "::" : "${namespace}::"}]
    set exports [namespace eval $namespace {namespace export}]
    if {$exports ne "" && $namespace ne "::"} {
        append script [list namespace eval $namespace [list namespace export {*}$exports]]\n
    }
    foreach command [lsort [info commands [Literal $prefix]*]] {
        if {[catch {namespace origin $command} origin]} {
            continue
        }
        if {$origin ne $command} {
            append script [list catch [list namespace eval $namespace [list namespace import -force $origin]]]\n
        } elseif {[namespace ensemble exists $command]} {
            set options [namespace ensemble configure $command]
            set of [dict get $options -namespace]
            dict unset options -namespace
            if {![string match ::tcl* $of] && $of ni $::ns_connchan::blueprint::foreign} {
                append script [list catch [list namespace eval $of \
                    [list namespace ensemble create -command $command {*}$options]]]\n
            }
        }
    }
    return $script
}

# Aliases within this interpreter.
proc ::ns_connchan::blueprint::Aliases {} {
    set script ""
    foreach alias [interp aliases {}] {
        set target [interp alias {} $alias]
        if {$target ne "" && [interp target {} $alias] eq "" && ![string match ::tcl::* $alias]} {
            append script [list interp alias {} $alias {} {*}$target]\n
        }
    }
    return $script
}

# What a job has left behind goes: global variables, channels, and ns_sets.
proc ::ns_connchan::cleanup {} {
    foreach name [info globals] {
        if {![string match auto_* $name] && ![string match tcl_* $name] && $name ni {env argc argv argv0}} {
            unset -nocomplain ::$name
        }
    }
    foreach channel [file channels] {
        if {$channel ni {stdin stdout stderr}} {
            catch {close $channel}
        }
    }
    ns_set cleanup
}

# Procs that every interpreter has in the global namespace, and their like that are loaded when they
# are first used.
apply {{} {
    set fresh [interp create]
    set ::ns_connchan::initialProcs [interp eval $fresh {info procs ::*}]
    interp delete $fresh
    lappend ::ns_connchan::initialProcs {*}{
        auto_execok auto_import auto_load auto_load_index auto_qualify unknown tclLog tclPkgSetup
        tclPkgUnknown tclLdAout history parray pkg_mkIndex auto_mkindex auto_mkindex_old auto_reset
        tcl_findLibrary tclPkgSetup
    }
    set ::ns_connchan::initialProcs [lmap name $::ns_connchan::initialProcs {namespace tail $name}]
}}
