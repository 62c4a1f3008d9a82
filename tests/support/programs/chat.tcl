# chat.tcl -- a chat over the module of websocket.tcl, at the URLs of its section.

namespace eval ::chat {}

nsf::proc ::chat::connect {} {
    set channel [::ws::handshake -callback ::chat::message]
    ::ws::subscribe $channel chat
}

nsf::proc ::chat::message {channel text} {
    set peer [dict get [ns_connchan status $channel] peer]
    ::ws::multicast -exclude $channel chat [::ws::build_msg "$peer: $text"]
}

foreach url [ns_config ns/server/[ns_info server]/module/websocket/chat urls /websocket/chat] {
    ns_register_proc GET $url/connect ::chat::connect
    ns_register_proc GET $url {ns_return 200 text/html "<h1>chat</h1>"}
    ns_log Notice "chat: page is $url"
}
