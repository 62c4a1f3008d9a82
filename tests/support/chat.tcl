# chat.tcl -- the chat of examples/chat for the suites that test it: its server in a process of its
# own, and people in it who have no browser.

package require ws

testConstraint openssl [llength [auto_execok openssl]]
set examples [file normalize [file join $supportDirectory .. .. examples]]

# Starts the server with these options besides -port, and returns its process. Its URL is in ::url,
# one that is https in ::secureUrl.
proc chat {args} {
    array set option {-port 0}
    array set option $args
    set script [list set argv [array get option]]\n
    append script [list source [file join $::examples chat server.tcl]]
    set server [serverProcess $script]
    unset -nocomplain ::url ::secureUrl
    while {[set line [processLine $server]] ne "ready"} {
        set ::[expr {[string match https:* $line] ? "secureUrl" : "url"}] $line
    }
    regexp {:(\d+)/} $::url - ::port
    return $server
}

# A client that has said hello, and has heard all about its room.
proc person {name {room Lobby} {epoch {}} {last 0}} {
    set channel [stranger]
    hello $channel $name $room $epoch $last
    await- $channel joined
    return $channel
}

proc stranger {} {
    return [ws::client::open -timeout 10s [string map {http ws} $::url]chat]
}

proc hello {channel name {room Lobby} {epoch {}} {last 0}} {
    tell $channel hello [token $name] $name $room $epoch $last
}

# The token that a name has in these tests.
proc token {name} {
    return [string range [hex [encoding convertto utf-8 $name]]0123456789abcdef 0 39]
}

proc tell {channel args} {
    ws::client::send $channel [join $args \n]
}

# The next message that begins with these words, as fields; others are passed over.
proc await- {channel args} {
    while 1 {
        set fields [split [ws::client::receive -timeout 10s $channel] \n]
        if {[lrange $fields 0 [llength $args]-1] eq $args} {
            return $fields
        }
    }
}

# All messages up to the answer of a ping, each a list of fields.
proc heard {channel} {
    tell $channel ping end
    set all {}
    while {[set fields [split [ws::client::receive -timeout 10s $channel] \n]] ne {pong end}} {
        lappend all $fields
    }
    return $all
}

# Those of a kind.
proc only {word messages} {
    return [lsearch -all -inline -index 0 -exact $messages $word]
}

# Code and reason with which the server ends a connection.
proc ended {channel} {
    while 1 {
        if {[catch {ws::client::receive -timeout 10s $channel} message options]} {
            return [dict get $options -errorcode]
        }
    }
}

# A certificate that nobody has signed, with its key.
proc certificate {} {
    if {![info exists ::certificate]} {
        close [file tempfile key .pem]
        close [file tempfile ::certificate .pem]
        exec openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost \
            -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout $key -out $::certificate 2> /dev/null
        set file [open $::certificate a]
        puts $file [fileText $key]
        close $file
        file delete $key
    }
    return $::certificate
}
