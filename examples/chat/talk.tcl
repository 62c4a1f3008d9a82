# talk.tcl -- two people in the chat, to show without a browser that it works; ws::client is how they
# connect. The second one may come by another URL of the same server.
#
#   tclsh talk.tcl URL ?URL?
#
# URLs as server.tcl prints them: http://... or https://... (whose certificate is not verified: it is
# the one that the demo has made for itself). Prints what is said; exits with 1 if anything fails.

package require ws

# Connects, and says hello.
proc come {name url} {
    set url [string map {http:// ws:// https:// wss://} $url]chat
    set channel [ws::client::open -insecure -timeout 5s $url]
    set token [format %016llx%s [clock microseconds] $name]
    ws::client::send $channel [join [list hello $token $name Lobby {} 0] \n]
    puts "   $name joins by $url"
    return $channel
}

# The next message that begins with these words; others are passed over.
proc await {channel args} {
    while 1 {
        set fields [split [ws::client::receive -timeout 5s $channel] \n]
        if {[lrange $fields 0 [llength $args]-1] eq $args} {
            return $fields
        }
    }
}

# One says something, the other hears it, and the server confirms it.
proc talk {from to channel peer text} {
    set id $from-[clock microseconds]
    set begin [clock microseconds]
    ws::client::send $channel [join [list say $id Lobby $text] \n]
    await $channel ack $id
    set took [expr {([clock microseconds] - $begin) / 1000.0}]
    set heard [await $peer message Lobby]
    if {[lrange $heard 4 6] ne [list $id $from $text]} {
        error "$to has heard \"$heard\" instead of \"$text\""
    }
    puts [format "   %s: %s   (confirmed after %.1f ms, heard by %s)" $from $text $took $to]
}

if {[catch {
    lassign $argv first second
    set ada [come Ada $first]
    await $ada joined Lobby
    set ben [come Ben [expr {$second eq "" ? $first : $second}]]
    await $ben joined Lobby
    await $ada came Lobby Ben
    puts "   Ada sees that Ben came in"
    talk Ada Ben $ada $ben "Hello Ben, do you read me?"
    talk Ben Ada $ben $ada "Loud and clear, Ada."
    ws::client::close $ben
    await $ada left Lobby Ben
    puts "   Ada sees that Ben has left"
    ws::client::close $ada
} problem]} {
    puts stderr "talk.tcl: $problem"
    exit 1
}
