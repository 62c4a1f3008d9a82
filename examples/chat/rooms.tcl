# rooms.tcl -- what the chat does: people, rooms, messages. No sockets of its own: server.tcl hands
# the events of package ws to chat::event.
#
# A message on the wire is text: a word, then its fields, one a line; the last field of `say` and
# `message` may have line breaks. No JSON: plain Tcl and any browser take that apart by one [split].
#
# From the page
#   hello TOKEN NAME ROOM EPOCH LAST   who I am. The token is the page's secret and tells it apart
#                                      when it connects again; epoch and last: what it has seen.
#   join ROOM LAST                     go to another room
#   name NAME                          be called otherwise
#   say ID ROOM TEXT                   answered by ack or refused, once only for each ID
#   typing                             is writing something
#   noted                              the note of the welcome was heard
#   ping NUMBER                        answered by pong
# To the page
#   welcome EPOCH NAME NOTE MAXNAME MAXROOM MAXTEXT
#                                      the epoch changes when the server starts; note: `slow` when
#                                      a connection was dropped because of slow reading, until
#                                      that was noted: it may be lost with the next one
#   rooms NAME COUNT NAME COUNT ...    whenever it changes
#   past ROOM COUNT GAP                that many messages follow that the page has not; gap: 1 when
#                                      others that it has not are not kept any more
#   message ROOM SEQ TIME ID NAME TEXT
#   joined ROOM NAME STATE ...         the past is told; these people are here (state here, away)
#   came, left, away, back ROOM NAME   away: connection lost, may come back
#   renamed ROOM OLD NEW
#   typing ROOM NAME
#   ack ID SEQ TIME                    the message is kept and has been sent to the others
#   refused ID WAIT REASON             it is not; may be tried again after so many ms, 0: never
#   sorry WHAT REASON                  another wish is refused: name, room, full, hello
#   pong NUMBER

package require ws

namespace eval chat {
    # Each limit with its reason; server.tcl sets them by options of the same name.
    variable limit
    array set limit {
        name 24
        room 24
        text 2000
        history 200
        rooms 50
        people 500
        burst 12
        rate 1.5
        strikes 40
        away 15000
        greeting 20000
        empty 600000
    }
    # name, room, text: characters. history: messages kept for each room; they are what memory is
    # needed for. rooms, people: at a time. burst, rate: frames that a connection may send at once,
    # and a second later on; after so many strikes, frames above that, it is closed. away: ms in
    # which a lost connection may come back before "left" is told. greeting: ms until hello. empty:
    # ms after which a room without people is forgotten.

    variable lasting {Lobby Tcl Help}   ;# rooms that stay
    variable epoch [format %08x%08x [expr {int(rand() * 0x7fffffff)}] [clock seconds]]
    variable serial 0                   ;# number of the last message, over all rooms

    variable token          ;# channel -> token, once it has said hello
    variable budget         ;# channel -> {frames at, strikes}: the rate limit
    variable greeting       ;# channel -> timer until hello
    variable person         ;# token -> dict name room channel timer note
    variable named          ;# name in lower case -> token
    variable room           ;# name -> dict people log ids floor timer
    variable roomNamed      ;# name in lower case -> name
    foreach name {token budget greeting person named room roomNamed} {
        array set $name {}
    }
    variable telling {}     ;# the timer for telling the rooms
}

## What comes in

# The callback of ws::listen.
proc chat::event {channel event data} {
    variable budget
    variable greeting
    variable limit
    switch $event {
        open {
            set budget($channel) [list $limit(burst) [clock milliseconds] 0]
            set greeting($channel) [after $limit(greeting) [list chat::refuse $channel 1008 "no hello"]]
        }
        text {hear $channel $data}
        binary {refuse $channel 1003 "text only"}
        close {closed $channel {*}$data}
    }
}

proc chat::hear {channel data} {
    variable token
    variable person
    set fields [lassign [split $data \n] verb]
    if {![allowed $channel]} {
        set reason "You are faster than this chat allows."
        switch $verb {
            say {tell $channel refused [string range [lindex $fields 0] 0 40] [waitFor $channel] $reason}
            join {tell $channel sorry room $reason}
            name {tell $channel sorry name $reason}
        }
        return
    }
    set count [llength $fields]
    if {$verb eq "ping" && $count == 1} {
        tell $channel pong [string range [lindex $fields 0] 0 20]
    } elseif {$verb eq "hello" && $count == 5} {
        hello $channel {*}$fields
    } elseif {![info exists token($channel)]} {
        refuse $channel 1008 "say hello first"
    } elseif {$verb eq "say" && $count >= 3} {
        say $token($channel) {*}[lrange $fields 0 1] [join [lrange $fields 2 end] \n]
    } elseif {$verb eq "join" && $count == 2} {
        if {![enter $token($channel) {*}$fields reason]} {
            tell $channel sorry room $reason
        }
    } elseif {$verb eq "noted" && $count == 0} {
        dict set person($token($channel)) note {}
    } elseif {$verb eq "name" && $count == 1} {
        rename $token($channel) [lindex $fields 0]
    } elseif {$verb eq "typing" && $count == 0} {
        set who $token($channel)
        toRoom [roomOf $who] -exclude $channel typing [roomOf $who] [nameOf $who]
    } else {
        refuse $channel 1008 "not understood"
    }
}

# The rate limit: a bucket of frames that fills again as time goes by.
proc chat::allowed {channel} {
    variable budget
    variable limit
    lassign $budget($channel) frames at strikes
    set now [clock milliseconds]
    set frames [expr {min($limit(burst), $frames + ($now - $at) * $limit(rate) / 1000.0)}]
    if {$frames >= 1} {
        # Who has been quiet for long enough starts with a clean record.
        set strikes [expr {$frames == $limit(burst) ? 0 : $strikes}]
        set budget($channel) [list [expr {$frames - 1}] $now $strikes]
        return 1
    }
    set budget($channel) [list $frames $now [incr strikes]]
    if {$strikes > $limit(strikes)} {
        refuse $channel 1008 "too many messages"
    }
    return 0
}

# Milliseconds until the connection may send again, with some to spare.
proc chat::waitFor {channel} {
    variable budget
    variable limit
    return [expr {round((1.5 - [lindex $budget($channel) 0]) / $limit(rate) * 1000)}]
}

## People

proc chat::hello {channel who name where seenEpoch last} {
    variable token
    variable person
    variable named
    variable greeting
    variable limit
    variable epoch
    if {[info exists token($channel)] || ![regexp {^[0-9a-zA-Z]{16,64}$} $who]} {
        return [refuse $channel 1008 "not understood"]
    }
    set name [cleanName $name]
    if {![nameFits $name $who reason]} {
        return [tell $channel sorry name $reason]
    }
    set known [info exists person($who)]
    if {!$known && [array size person] >= $limit(people)} {
        tell $channel sorry full "This chat is full. Please try again later."
        return [refuse $channel 1013 full]
    }
    if {$known} {
        # The same page again: over a new connection, or in another tab, which then takes over.
        after cancel [dict get $person($who) timer]
        set old [dict get $person($who) channel]
        set note [dict get $person($who) note]
        if {$old ne ""} {
            unset token($old)
            catch {ws::close $old 4001 "opened elsewhere"}
            catch {ws::unsubscribe $old [topic [roomOf $who]]}
            catch {ws::unsubscribe $old chat}
        }
        dict set person($who) timer {}
    } else {
        set note {}
        set person($who) [dict create name $name room {} timer {} note {}]
        set named([string tolower $name]) $who
    }
    dict set person($who) channel $channel
    set token($channel) $who
    after cancel $greeting($channel)
    ws::subscribe $channel chat
    rename $who $name
    tell $channel welcome $epoch $name $note $limit(name) $limit(room) $limit(text)
    if {$seenEpoch ne $epoch} {
        set last 0
    }
    if {![enter $who $where $last reason]} {
        tell $channel sorry room $reason
        if {[roomOf $who] eq ""} {
            enter $who [lindex $::chat::lasting 0] 0 reason
        }
    }
    tellRooms $channel
}

# The connection is over. One that was lost may come back; a page that was closed says so (1001).
proc chat::closed {channel code reason} {
    variable token
    variable person
    variable budget
    variable greeting
    variable limit
    after cancel $greeting($channel)
    unset budget($channel) greeting($channel)
    if {![info exists token($channel)]} {
        return
    }
    set who $token($channel)
    unset token($channel)
    dict set person($who) channel {}
    if {$code in {1000 1001 1008}} {
        leave $who
        return
    }
    if {$reason eq "the peer reads too slowly"} {
        dict set person($who) note slow
    }
    dict set person($who) timer [after $limit(away) [list chat::leave $who]]
    toRoom [roomOf $who] away [roomOf $who] [nameOf $who]
}

proc chat::leave {who} {
    variable person
    variable named
    after cancel [dict get $person($who) timer]
    exitRoom $who
    unset named([string tolower [nameOf $who]])
    unset person($who)
}

proc chat::rename {who name} {
    variable person
    variable named
    set old [nameOf $who]
    set name [cleanName $name]
    if {$name eq $old} {
        return
    }
    set channel [dict get $person($who) channel]
    if {![nameFits $name $who reason]} {
        tell $channel sorry name $reason
        return
    }
    unset named([string tolower $old])
    set named([string tolower $name]) $who
    dict set person($who) name $name
    toRoom [roomOf $who] renamed [roomOf $who] $old $name
}

# Whether somebody may be called so; says why not.
proc chat::nameFits {name who reasonVar} {
    variable named
    variable limit
    upvar 1 $reasonVar reason
    if {$name eq ""} {
        set reason "Please choose a name."
    } elseif {[string length $name] > $limit(name)} {
        set reason "A name has at most $limit(name) characters."
    } elseif {[info exists named([string tolower $name])] && $named([string tolower $name]) ne $who} {
        set reason "Somebody here is called $name already. Please choose another name."
    } else {
        return 1
    }
    return 0
}

proc chat::nameOf {who} {
    variable person
    return [dict get $person($who) name]
}

proc chat::roomOf {who} {
    variable person
    return [dict get $person($who) room]
}

## Rooms

# Goes to a room, which is made when there is none of that name, and tells what the page has not
# seen of it: messages after number `last`. False, with a reason, when that cannot be.
proc chat::enter {who name last reasonVar} {
    variable person
    variable room
    variable roomNamed
    upvar 1 $reasonVar reason
    set name [cleanName $name]
    if {![string is integer -strict $last] || $last < 0} {
        set last 0
    }
    if {![info exists roomNamed([string tolower $name])] && ![makeRoom $name reason]} {
        return 0
    }
    set name $roomNamed([string tolower $name])
    set channel [dict get $person($who) channel]
    set before [roomOf $who]
    if {$before ne $name} {
        exitRoom $who
        after cancel [dict get $room($name) timer]
        dict set room($name) people $who [clock milliseconds]
        dict set person($who) room $name
        toRoom $name came $name [nameOf $who]
        soonTellRooms
    } else {
        toRoom $name back $name [nameOf $who]
    }
    ws::subscribe $channel [topic $name]
    set missed {}
    foreach message [dict get $room($name) log] {
        if {[lindex $message 0] > $last} {
            lappend missed $message
        }
    }
    set gap [expr {$last > 0 && $last < [dict get $room($name) floor]}]
    tell $channel past $name [llength $missed] $gap
    foreach message $missed {
        tell $channel message $name {*}$message
    }
    set people {}
    dict for {other since} [dict get $room($name) people] {
        lappend people [nameOf $other] \
            [expr {[dict get $person($other) channel] eq "" ? "away" : "here"}]
    }
    tell $channel joined $name {*}$people
    return 1
}

proc chat::makeRoom {name reasonVar} {
    variable room
    variable roomNamed
    variable limit
    variable serial
    upvar 1 $reasonVar reason
    if {$name eq "" || [string length $name] > $limit(room)} {
        set reason "The name of a room has 1 to $limit(room) characters."
        return 0
    }
    if {[array size room] >= $limit(rooms)} {
        set reason "There are $limit(rooms) rooms already. Please join one of them."
        return 0
    }
    set room($name) [dict create people {} log {} ids {} floor $serial timer {}]
    set roomNamed([string tolower $name]) $name
    return 1
}

proc chat::exitRoom {who} {
    variable person
    variable room
    variable limit
    variable lasting
    set name [roomOf $who]
    if {$name eq ""} {
        return
    }
    set channel [dict get $person($who) channel]
    if {$channel ne ""} {
        catch {ws::unsubscribe $channel [topic $name]}
    }
    dict set person($who) room {}
    dict unset room($name) people $who
    toRoom $name left $name [nameOf $who]
    if {[dict size [dict get $room($name) people]] == 0 && $name ni $lasting} {
        dict set room($name) timer [after $limit(empty) [list chat::forgetRoom $name]]
    }
    soonTellRooms
}

proc chat::forgetRoom {name} {
    variable room
    variable roomNamed
    unset room($name) roomNamed([string tolower $name])
    soonTellRooms
}

# A message: kept, told to everyone else in the room, and confirmed. One that comes again because
# the confirmation was lost is confirmed again, and nothing else.
proc chat::say {who id where text} {
    variable person
    variable room
    variable limit
    variable serial
    set channel [dict get $person($who) channel]
    if {![regexp {^[0-9a-zA-Z-]{1,40}$} $id]} {
        return [refuse $channel 1008 "not understood"]
    }
    set name [roomOf $who]
    set text [cleanText $text]
    if {$where ne $name} {
        return [tell $channel refused $id 0 "You are not in the room $where."]
    } elseif {$text eq ""} {
        return [tell $channel refused $id 0 "The message is empty."]
    } elseif {[string length $text] > $limit(text)} {
        return [tell $channel refused $id 0 "A message has at most $limit(text) characters."]
    }
    if {[dict exists $room($name) ids $id]} {
        return [tell $channel ack $id {*}[dict get $room($name) ids $id]]
    }
    set seq [incr serial]
    set time [clock milliseconds]
    set message [list $seq $time $id [nameOf $who] $text]
    dict lappend room($name) log $message
    dict set room($name) ids $id [list $seq $time]
    if {[llength [dict get $room($name) log]] > $limit(history)} {
        set oldest [lindex [dict get $room($name) log] 0]
        dict set room($name) log [lrange [dict get $room($name) log] 1 end]
        dict unset room($name) ids [lindex $oldest 2]
        dict set room($name) floor [lindex $oldest 0]
    }
    toRoom $name -exclude $channel message $name {*}$message
    tell $channel ack $id $seq $time
}

## What goes out

# Sends one message. A connection that is lost hears of it by its close event.
proc chat::tell {channel args} {
    catch {ws::send $channel [join $args \n]}
    return
}

# Sends to everyone in a room: toRoom NAME ?-exclude CHANNEL? WORD ?FIELD ...?
proc chat::toRoom {name args} {
    if {$name eq ""} {
        return
    }
    set exclude {}
    if {[lindex $args 0] eq "-exclude"} {
        set exclude [lrange $args 0 1]
        set args [lrange $args 2 end]
    }
    ws::multicast {*}$exclude [topic $name] [join $args \n]
}

proc chat::topic {name} {
    return "chat room $name"
}

# Tells everybody the list of rooms; when many come and go at a time, once for all of them.
proc chat::soonTellRooms {} {
    variable telling
    if {$telling eq ""} {
        set telling [after 50 {
            set chat::telling {}
            ws::multicast chat [chat::roomList]
        }]
    }
}

proc chat::tellRooms {channel} {
    tell $channel {*}[split [roomList] \n]
}

proc chat::roomList {} {
    variable room
    variable lasting
    set others {}
    foreach name [lsort -dictionary [array names room]] {
        if {$name ni $lasting} {
            lappend others $name
        }
    }
    set list rooms
    foreach name [concat $lasting $others] {
        append list \n $name \n [dict size [dict get $room($name) people]]
    }
    return $list
}

# Ends a connection, with a close code.
proc chat::refuse {channel code reason} {
    catch {ws::close $channel $code $reason}
    return
}

## What people write

# One line without control characters, without those that turn the direction of writing or show
# nothing (two names must not look the same), and without blanks around.
proc chat::cleanName {name} {
    regsub -all {[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]} $name { } name
    regsub -all {\s+} $name { } name
    return [string trim $name]
}

# Lines and tabs stay; blank lines around do not.
proc chat::cleanText {text} {
    regsub -all {\r\n?} $text \n text
    regsub -all {[\u0000-\u0008\u000b-\u001f\u007f-\u009f]} $text {} text
    return [string trimright [string trim $text \n]]
}

foreach name $chat::lasting {
    chat::makeRoom $name reason
}
