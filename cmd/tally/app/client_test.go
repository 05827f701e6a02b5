package app

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// certificate makes a key pair that signs itself, for 127.0.0.1, and the file
// that a client trusts it by.
func certificate(t *testing.T, dir string) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(file, block, 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

// TestSecured talks to a broker that wants TLS and a login.
func TestSecured(t *testing.T) {
	dir := t.TempDir()
	pair, ca := certificate(t, dir)
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(),
		kfake.Superuser("SCRAM-SHA-512", "me", "secret"), kfake.Superuser("PLAIN", "me", "secret"),
		kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pair}}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	right, wrong := filepath.Join(dir, "right"), filepath.Join(dir, "wrong")
	for file, password := range map[string]string{right: "secret\n", wrong: "guess\n"} {
		if err := os.WriteFile(file, []byte(password), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	base := []string{
		"topics", "apply", "-b", c.ListenAddrs()[0], "--timeout", "1s", "--partitions", "1",
	}
	for _, s := range []struct {
		name string
		code int
		args []string
		want string
	}{
		{"scram", ExitOK, []string{
			"--tls-ca", ca, "--sasl-mechanism", "scram-sha-512", "--sasl-user", "me",
			"--sasl-password-file", right,
		}, ""},
		{"plain", ExitOK, []string{
			"--tls-ca", ca, "--sasl-mechanism", "plain", "--sasl-user", "me",
			"--sasl-password-file", right,
		}, ""},
		{"wrong password", ExitError, []string{
			"--tls-ca", ca, "--sasl-mechanism", "scram-sha-512", "--sasl-user", "me",
			"--sasl-password-file", wrong,
		}, "--sasl-password-file"},
		{"unknown authority", ExitError, []string{
			"--tls", "--sasl-mechanism", "scram-sha-512", "--sasl-user", "me",
			"--sasl-password-file", right,
		}, "(hint: check --tls and --tls-ca)"},
		{"no TLS", ExitError, nil, "behind TLS add --tls"},
	} {
		t.Run(s.name, func(t *testing.T) {
			_, said := tally(t, s.code, append(append([]string{}, base...), s.args...)...)
			if !strings.Contains(said, s.want) || strings.Contains(said, "secret") {
				t.Errorf("said %s, want %q", said, s.want)
			}
		})
	}
}
