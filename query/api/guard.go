package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"strings"
	"time"
)

// guarded lets a request through to its route if it may be answered.
func (s *Server) guarded(r route) http.Handler {
	return http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		shown := s.authorized(in)
		if !shown && !s.named(in.Host) {
			problem{
				status: http.StatusForbidden, name: "host",
				detail: "this worker is not known as " + in.Host,
				hint:   "ask by its address, by the name in --advertise, or with the token",
			}.write(out)
			return
		}
		if r.writes {
			if p, ok := s.mayWrite(in, shown); !ok {
				p.write(out)
				return
			}
		}
		if r.content && !shown && !FromHere(in) {
			problem{
				status: http.StatusForbidden, name: "content",
				detail: "what is in records is for this machine, or for those who have the token",
				hint:   "send Authorization: Bearer with the content of --http-token-file",
			}.write(out)
			return
		}
		in.Body = http.MaxBytesReader(out, in.Body, MaxBody)
		// A writer without deadlines belongs to a test.
		late := s.cfg.Now().Add(MaxWait + 15*time.Second)
		_ = http.NewResponseController(out).SetWriteDeadline(late)
		r.handle(out, in)
	})
}

// mayWrite tells whether a request that writes may do so, and if not, why. A page
// that a browser shows cannot write behind its user's back, whatever it knows.
func (s *Server) mayWrite(in *http.Request, shown bool) (problem, bool) {
	if err := s.origins.Check(in); err != nil {
		return problem{
			status: http.StatusForbidden, name: "origin", detail: err.Error(),
			hint: "commands are not taken from the pages of others",
		}, false
	}
	switch {
	case shown:
	case s.cfg.Token != "":
		return problem{
			status: http.StatusUnauthorized, name: "token",
			detail: "the token is missing or not the right one",
			hint:   "send Authorization: Bearer with the content of --http-token-file",
		}, false
	case !s.cfg.Loopback:
		return problem{
			status: http.StatusForbidden, name: "token",
			detail: "this worker listens to others and has no token to know them by",
			hint:   "start it with --http-token-file",
		}, false
	case proxied(in):
		return problem{
			status: http.StatusForbidden, name: "token",
			detail: "it comes through a proxy, and this worker has no token to know others by",
			hint:   "start it with --http-token-file",
		}, false
	}
	return problem{}, true
}

// authorized tells whether the request shows the token, in a time that does not
// depend on how much of it is right.
func (s *Server) authorized(in *http.Request) bool {
	kind, token, _ := strings.Cut(in.Header.Get("Authorization"), " ")
	if s.cfg.Token == "" || !strings.EqualFold(kind, "Bearer") {
		return false
	}
	got, want := sha256.Sum256([]byte(strings.TrimSpace(token))), sha256.Sum256([]byte(s.cfg.Token))
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

// named tells whether the server is known under the host of a request. A name that
// somebody else points at it, to get at it from a browser, is not among its own.
func (s *Server) named(host string) bool {
	name := hostOf(host)
	return name == "localhost" || net.ParseIP(name) != nil || s.hosts[name]
}

// hostOf is a host without its port, in lower case.
func hostOf(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.Trim(host, "[]"))
}

// ownNames are the names under which the server may be asked beside numbers.
func ownNames(address string) map[string]bool {
	names := map[string]bool{}
	if name := hostOf(address); name != "" {
		names[name] = true
	}
	return names
}
