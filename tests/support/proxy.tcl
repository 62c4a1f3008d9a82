# proxy.tcl -- what the suites of ns_proxy share: pools, and worker programs of all kinds.
#
# Sourced after common.tcl, and by the children and threads of those suites.

if {"proxy.tcl" ni $preludeFiles} {
    lappend preludeFiles proxy.tcl
}
set poolSerial 0

# A pool of a name of its own, whose workers end fast. Options as for ns_proxy configure.
proc newPool {args} {
    set pool pool[pid]x[incr ::poolSerial]
    if {[llength [info commands thread::id]]} {
        append pool [thread::id]
    }
    ns_proxy configure $pool -waittimeout 200ms {*}$args
    return $pool
}

# A handle of a pool of its own.
proc newHandle {args} {
    return [lindex [ns_proxy get [newPool {*}$args]] 0]
}

# The pool of a handle.
proc poolOf {handle} {
    return [string range $handle 0 [string last - $handle]-1]
}

# The process id of a handle's worker, 0 if there is none.
proc workerPid {handle} {
    foreach worker [ns_proxy workers [poolOf $handle]] {
        if {[dict get $worker id] eq $handle} {
            return [dict get $worker pid]
        }
    }
    error "no handle $handle"
}

# Message and errorCode of a script that fails.
proc failure {script} {
    if {![catch {uplevel 1 $script} message options]} {
        return "no error, but: $message"
    }
    return [list $message [dict get $options -errorcode]]
}

# The last two words of an errorCode NSPROXY ..., which is checked.
proc proxyCode {script} {
    lassign [uplevel 1 [list failure $script]] message code
    if {[llength $code] != 3 || [lindex $code 0] ne "NSPROXY" || ![string match "*: [lindex $code 2]" $message]} {
        error "expected an error NSPROXY, got: $message ($code)"
    }
    return [lindex $code 1]
}

proc isAlive {pid} {
    return [expr {![processIsOver $pid]}]
}

# Waits until there is no trace of a process, not even a zombie.
proc awaitGone {pid {seconds 10}} {
    awaitThat "the end of process $pid" {![file exists /proc/$pid]} $seconds
    return
}

# A worker program that is this tclsh with a script of its own; the name of its file. It finds its
# line at stdin and stdout.
set programs {}
proc program {script} {
    set file [file tempfile name nsproxy-program]
    # A long path would not do in a first line
    puts $file "#!/bin/sh\n# \\\nexec \"[info nameofexecutable]\" \"\$0\" \"\$@\""
    puts $file {fconfigure stdin -translation binary; fconfigure stdout -translation binary -buffering full}
    puts $file {
        # The next script; "" at the end of file and for a ping.
        proc request {} {
            set head [read stdin 12]
            if {[string length $head] < 12} {
                exit
            }
            binary scan $head IuIuSuSu total length major minor
            return [read stdin $length]
        }
        # An answer; code and errorInfo are left out unless given.
        proc answer {result {code 0} {errorCode {}} {errorInfo {}}} {
            foreach name {errorCode errorInfo} {
                if {[set $name] ne ""} {
                    append $name \0
                }
            }
            set body $errorCode$errorInfo$result
            puts -nonewline stdout [binary format IIIII [expr {[string length $body] + 16}] $code \
                [string length $errorCode] [string length $errorInfo] [string length $result]]$body
            flush stdout
        }
        # The answer to the first request, by which a worker shows that it is there.
        proc hello {} {
            request
            answer ""
        }
    }
    puts $file $script
    close $file
    file attributes $name -permissions 0755
    lappend ::programs $name
    return $name
}

# Nothing of ns_proxy is left: handles, workers, programs.
proc proxyClear {} {
    ns_proxy cleanup
    foreach pool [ns_proxy pools] {
        ns_proxy stop $pool
        ns_proxy clear $pool
    }
    file delete {*}$::programs
    set ::programs {}
}
