package api

import (
	"net"
	"net/http"
)

// passedOn are the headers by which a proxy says that it asks for somebody else.
func passedOn() []string {
	return []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"}
}

// FromHere tells whether a request comes from this machine: over loopback, by a name of
// this machine, and not by a proxy on it that says that it asks for somebody else. A
// proxy that does not say so cannot be told from those who are here.
func FromHere(in *http.Request) bool {
	ip, name := net.ParseIP(hostOf(in.RemoteAddr)), hostOf(in.Host)
	return !proxied(in) && ip.IsLoopback() &&
		(name == "localhost" || net.ParseIP(name).IsLoopback())
}

// proxied tells whether a request says that it was passed on by a proxy.
func proxied(in *http.Request) bool {
	for _, name := range passedOn() {
		if _, ok := in.Header[name]; ok {
			return true
		}
	}
	return false
}
