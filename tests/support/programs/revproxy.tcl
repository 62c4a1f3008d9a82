# revproxy.tcl -- a reverse proxy over connection channels: requests are passed on to a backend and what
# it answers to the client, both at the pace of who receives. Upgrades are passed through.
#
# It needs nsf.tcl before, and sections as
#   ns_section ns/server/SERVER/module/revproxy/NAME
#   ns_param target http://127.0.0.1:8081
#   ns_param map {GET /rp {-strip /rp -timeout 5s}}

namespace eval ::revproxy {
    # Bytes passed on by this interpreter, by direction.
    variable spooled
    array set spooled {request 0 response 0}
    variable verbose [ns_config -bool ns/server/[ns_info server]/module/revproxy verbose 0]
    # Sent in one piece; more is read when that has gone out.
    variable most 262144
    variable hopByHop {
        connection keep-alive te trailer trailers transfer-encoding proxy-connection
    }
}

# To a command that comes later in this file.
interp alias {} ::revproxy::upstream::log {} ::revproxy::log

nsf::proc ::revproxy::log {severity args} {
    if {$severity ne "notice" || $::revproxy::verbose} {
        ns_log $severity "revproxy:" {*}$args
    }
}

# A header set for the backend, as a list: handles do not outlive the request.
nsf::proc ::revproxy::request_headers {-upgrade:switch} {
    set headers [ns_set copy [ns_conn headers]]
    set named {}
    foreach value [ns_set iget -all $headers connection] {
        lappend named {*}[split [string map {" " ""} [string tolower $value]] ,]
    }
    foreach name [concat $::revproxy::hopByHop $named] {
        if {$upgrade && $name in {connection upgrade}} {
            continue
        }
        while {[ns_set delkey -nocase $headers $name]} {}
    }
    set forwarded [ns_set iget $headers x-forwarded-for]
    ns_set iupdate $headers x-forwarded-for \
        [expr {$forwarded eq "" ? [ns_conn peeraddr] : "$forwarded,[ns_conn peeraddr]"}]
    ns_set put $headers via "1.1 [ns_info server]-[ns_info pid]"
    ns_set put $headers x-forwarded-proto [ns_conn protocol]
    if {[ns_conn protocol] eq "https"} {
        ns_set put $headers x-ssl-request 1
    }
    if {!$upgrade} {
        ns_set iupdate $headers connection close
    }
    return [ns_set array $headers]
}

# Handles a request: connects to the target, sends the request, has the answer passed on.
nsf::proc ::revproxy::upstream {-target {-strip ""} {-timeout 10s}} {
    set path [ns_conn url]
    if {$strip ne "" && [string match $strip* $path]} {
        set path [string range $path [string length $strip] end]
    }
    set query [ns_conn query]
    set url [string trimright $target /]/[string trimleft $path /][expr {$query eq "" ? "" : "?$query"}]
    set upgrade [string equal -nocase [ns_set iget [ns_conn headers] upgrade] websocket]
    set fields [::revproxy::request_headers {*}[expr {$upgrade ? "-upgrade" : ""}]]
    set body [ns_conn content -binary]
    set headers [ns_set create {*}$fields]
    if {[string length $body] && [ns_set ifind $headers content-length] < 0} {
        ns_set put $headers content-length [string length $body]
    }
    # The path of a unix socket may stand before the URL.
    set options {}
    if {[regexp {^unix:([^|]+)\|(.*)$} $url - socket url]} {
        lappend options -unix_socket $socket
    }
    try {
        set backend [ns_connchan open -timeout $timeout -method [ns_conn method] -headers $headers \
            -version 1.1 {*}$options $url]
    } trap {NS_TIMEOUT} {} {
        ns_returnerror 504 "Gateway Timeout: $url"
        return
    } on error {message} {
        ::revproxy::upstream::log warning $message
        ns_return 503 text/html "<h1>Service Unavailable</h1><p>Backend error: [ns_quotehtml $message]</p>"
        return
    }
    set client [ns_connchan detach]
    if {[string length $body]} {
        incr ::revproxy::spooled(request) [ns_connchan write $backend $body]
        if {[dict get [ns_connchan status $backend] sendbuffer] > 0} {
            ns_connchan callback -timeout $timeout $backend \
                [list ::revproxy::send_request $client $backend $url $timeout $upgrade] wex
            return
        }
    }
    ::revproxy::await_answer $client $backend $url $timeout $upgrade
}

# The rest of a request goes out as there is room.
nsf::proc ::revproxy::send_request {client backend url timeout upgrade condition} {
    if {$condition eq "t"} {
        ::revproxy::time_is_over $client $url
        return 0
    }
    if {$condition ne "w"} {
        return 0
    }
    incr ::revproxy::spooled(request) [ns_connchan write $backend ""]
    if {[dict get [ns_connchan status $backend] sendbuffer] == 0} {
        ::revproxy::await_answer $client $backend $url $timeout $upgrade
    }
    return 1
}

nsf::proc ::revproxy::await_answer {client backend url timeout upgrade} {
    ns_connchan callback -timeout $timeout -sendtimeout 0 $backend \
        [list ::revproxy::answer $client $backend $url $timeout $upgrade ""] rex
}

nsf::proc ::revproxy::time_is_over {client url} {
    ::revproxy::log warning "timeout: $url"
    catch {
        ns_connchan write $client "HTTP/1.0 504 Gateway Timeout\r\n\r\n504 Gateway Timeout: $url"
        ns_connchan close $client
    }
}

# The head of an answer comes, perhaps in pieces.
nsf::proc ::revproxy::answer {client backend url timeout upgrade soFar condition} {
    if {$condition eq "t"} {
        ::revproxy::time_is_over $client $url
        return 0
    }
    set data [expr {$condition eq "r" ? [ns_connchan read $backend] : ""}]
    if {[string length $data] == 0} {
        catch {ns_connchan close $client}
        return 0
    }
    append soFar $data
    if {[string first \r\n\r\n $soFar] < 0 && [string length $soFar] < 65536} {
        ns_connchan callback -timeout $timeout $backend \
            [list ::revproxy::answer $client $backend $url $timeout $upgrade $soFar] rex
        return 1
    }
    set message [ns_parsemessage $soFar]
    set headers [dict get $message headers]
    set head "[dict get $message firstline]\r\n"
    if {!$upgrade} {
        ns_set iupdate $headers connection close
    }
    foreach {name value} [ns_set array $headers] {
        append head "$name: $value\r\n"
    }
    # What comes now is passed on as it is; of an upgrade in both directions.
    ::revproxy::pass $backend $client response $timeout
    if {$upgrade} {
        ::revproxy::pass $client $backend request $timeout
    }
    return [::revproxy::spool $backend $client response $timeout $head\r\n[dict get $message body]]
}

nsf::proc ::revproxy::pass {from to direction timeout} {
    ns_connchan callback -timeout $timeout $from [list ::revproxy::forward $from $to $direction $timeout] rex
}

# Something is to be passed on.
nsf::proc ::revproxy::forward {from to direction timeout condition} {
    set data ""
    try {
        if {$condition eq "r"} {
            set data [ns_connchan read $from]
        }
        if {[string length $data]} {
            return [::revproxy::spool $from $to $direction $timeout $data]
        }
    } trap {POSIX EPIPE} {} - trap {POSIX ECONNRESET} {} {
        ::revproxy::log notice "peer of $from or $to has gone"
    } on error {message} {
        ::revproxy::log warning "$message ($::errorCode)"
    }
    ::revproxy::finish $to
    return 0
}

# Sends data. While the receiver's buffer is not empty nothing more is read: 2 suspends the callback.
nsf::proc ::revproxy::spool {from to direction timeout data} {
    incr ::revproxy::spooled($direction) [ns_connchan write $to $data]
    if {[dict get [ns_connchan status $to] sendbuffer] < $::revproxy::most} {
        return 1
    }
    ns_connchan callback -timeout $timeout $to [list ::revproxy::drained $from $to $direction $timeout] wex
    return 2
}

# There is room again at the receiver's.
nsf::proc ::revproxy::drained {from to direction timeout condition} {
    if {$condition ne "w"} {
        catch {ns_connchan close $from}
        return 0
    }
    try {
        incr ::revproxy::spooled($direction) [ns_connchan write $to ""]
    } on error {message} {
        ::revproxy::log notice "$message"
        catch {ns_connchan close $from}
        return 0
    }
    if {[dict get [ns_connchan status $to] sendbuffer] > 0} {
        return 1
    }
    # The script as it was registered, with its timeout.
    set callback [dict get [ns_connchan status $from] callback]
    ns_connchan callback -timeout [lindex $callback 4] $from $callback rex
    return 2
}

# Everything was read: what still waits goes out, then the channel is closed.
nsf::proc ::revproxy::finish {channel} {
    if {![ns_connchan exists $channel]} {
        return
    }
    if {[dict get [ns_connchan status $channel] sendbuffer] == 0} {
        ns_connchan close $channel
        return
    }
    ns_connchan callback -timeout 30s $channel [list ::revproxy::last $channel] wex
}

nsf::proc ::revproxy::last {channel condition} {
    if {$condition ne "w" || [catch {ns_connchan write $channel ""}]} {
        return 0
    }
    return [expr {[dict get [ns_connchan status $channel] sendbuffer] > 0}]
}

# What is configured.
foreach section [ns_configsections] {
    if {![string match ns/server/[ns_info server]/module/revproxy/* [ns_set name $section]]} {
        continue
    }
    set target [ns_set iget $section target]
    foreach map [ns_set iget -all $section map] {
        lassign $map method url options
        ns_register_proc $method $url ::revproxy::upstream -target $target {*}$options
    }
}
