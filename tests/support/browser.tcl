# browser.tcl -- windows of a real browser for a suite: browser.py's commands as Tcl words.

testConstraint chromium [expr {
    [llength [auto_execok python3]] && [llength [auto_execok chromium]] && [llength [auto_execok chromedriver]]
}]

# Asks browser.py, which is started when first needed and lives until [browserStop]; see there for its
# commands.
proc browser {args} {
    if {![info exists ::browserPeer]} {
        set ::browserPeer [processStart [list {*}[auto_execok python3] -u \
            [file join $::supportDirectory browser.py]]]
        # It costs too much to be started anew for each test.
        set ::processes [lsearch -all -inline -not -exact $::processes $::browserPeer]
    }
    set line [lmap word $args {hex [encoding convertto utf-8 $word]}]
    lassign [processAsk $::browserPeer $line 60] state answer
    set answer [encoding convertfrom utf-8 [bytes $answer]]
    if {$state ne "ok"} {
        error "browser.py: $args: $answer"
    }
    return $answer
}

# Closes all windows. The end of its input ends browser.py, when the browsers have gone.
proc browserStop {} {
    if {[info exists ::browserPeer]} {
        fileevent $::browserPeer readable {}
        fconfigure $::browserPeer -blocking 1
        close $::browserPeer write
        read $::browserPeer
        processStop $::browserPeer
        unset ::browserPeer
    }
}

# What a JavaScript expression is in a window.
proc page {window expression} {
    return [browser js $window "return ($expression)"]
}

# Waits until an expression is true in a window.
proc awaitPage {window expression {seconds 20}} {
    try {
        awaitThat "$expression in window $window" {[page $window "!!($expression)"] eq "true"} $seconds
    } trap {TEST DEADLINE} {message options} {
        return -code error -errorcode [dict get $options -errorcode] \
            "$message; there is: [page $window document.body.innerText]; [browser log $window]"
    }
}
