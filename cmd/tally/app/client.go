package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"tallystick/topology"
)

// clientOptions are the options that every Kafka client of this process gets:
// how to reach the brokers and who we are to them.
func (m *Main) clientOptions(s *settings) ([]kgo.Opt, error) {
	opts := []kgo.Opt{kgo.ClientID("tally"), kgo.DisableClientMetrics()}
	secured, err := s.tlsConfig()
	if err != nil {
		return nil, err
	}
	if secured != nil {
		opts = append(opts, kgo.DialTLSConfig(secured))
	}
	mechanism, err := s.sasl(secured != nil)
	if err != nil {
		return nil, err
	}
	if mechanism != nil {
		opts = append(opts, kgo.SASL(mechanism))
	}
	return append(opts, m.Client...), nil
}

// tlsConfig is nil where the settings ask for no TLS.
func (s *settings) tlsConfig() (*tls.Config, error) {
	if !s.TLS && s.TLSCA == "" && s.TLSCert == "" && s.TLSKey == "" {
		return nil, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.TLSCA != "" {
		pem, err := os.ReadFile(s.TLSCA)
		if err != nil {
			return nil, hinted("check --tls-ca", "tls: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, hinted("check --tls-ca", "tls: %s holds no certificate in PEM", s.TLSCA)
		}
	}
	if (s.TLSCert == "") != (s.TLSKey == "") {
		return nil, usageError("give both or none", "--tls-cert and --tls-key belong together")
	}
	if s.TLSCert != "" {
		pair, err := tls.LoadX509KeyPair(s.TLSCert, s.TLSKey)
		if err != nil {
			return nil, hinted("check --tls-cert and --tls-key", "tls: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}

// sasl is nil where the settings ask for none. A password never travels in the
// clear: the plain mechanism needs TLS.
func (s *settings) sasl(secured bool) (sasl.Mechanism, error) {
	if s.SASLMechanism == "" {
		if s.SASLUser != "" || s.SASLPasswordFile != "" {
			return nil, usageError("for example --sasl-mechanism scram-sha-512",
				"--sasl-user and --sasl-password-file need --sasl-mechanism")
		}
		return nil, nil
	}
	if s.SASLUser == "" || s.SASLPasswordFile == "" {
		return nil, usageError("the password is the content of a file, never an argument",
			"--sasl-mechanism needs --sasl-user and --sasl-password-file")
	}
	secret, err := os.ReadFile(s.SASLPasswordFile)
	if err != nil {
		return nil, hinted("check --sasl-password-file", "sasl: %w", err)
	}
	password := strings.TrimRight(string(secret), "\r\n")
	switch strings.ToLower(s.SASLMechanism) {
	case "plain":
		if !secured {
			return nil, usageError("add --tls, or use scram-sha-512",
				"sasl: plain would send the password in the clear")
		}
		return plain.Auth{User: s.SASLUser, Pass: password}.AsMechanism(), nil
	case "scram-sha-256":
		return scram.Auth{User: s.SASLUser, Pass: password}.AsSha256Mechanism(), nil
	case "scram-sha-512":
		return scram.Auth{User: s.SASLUser, Pass: password}.AsSha512Mechanism(), nil
	default:
		return nil, usageError("use plain, scram-sha-256 or scram-sha-512",
			"--sasl-mechanism has no %q", s.SASLMechanism)
	}
}

// connect returns a client of the settings' brokers after one of them has
// answered, so that a verb fails at once and by name where none does. The
// caller closes it.
func (m *Main) connect(ctx context.Context, s *settings, more ...kgo.Opt) (*kgo.Client, error) {
	opts, err := m.clientOptions(s)
	if err != nil {
		return nil, err
	}
	opts = append([]kgo.Opt{
		kgo.SeedBrokers(s.Brokers...),
		// Answers about topics are kept for so long; we ask for some that are new.
		kgo.MetadataMinAge(100 * time.Millisecond),
	}, opts...)
	cl, err := kgo.NewClient(append(opts, more...)...)
	if err != nil {
		return nil, usageError("for example --brokers localhost:9092", "kafka: %w", err)
	}
	if err := reach(ctx, cl, s); err != nil {
		cl.Close()
		return nil, err
	}
	return cl, nil
}

// connectTo is connect for verbs whose answer depends on whether the main job or the
// chain is meant: what is there must not be the chain while the main job is meant. Its
// topics of the same names would be read by the wrong rules.
func (m *Main) connectTo(ctx context.Context, s *settings, more ...kgo.Opt) (*kgo.Client, error) {
	cl, err := m.connect(ctx, s, more...)
	if err != nil || s.Chain {
		return cl, err
	}
	table := s.names().Table(topology.Validate)
	found, err := kadm.NewClient(cl).ListTopics(ctx, table)
	if err == nil && found.Has(table) {
		err = usageError("add --chain, or set TALLY_CHAIN=true",
			"these topics are those of the chain: there is %s", table)
	} else if err != nil {
		err = fmt.Errorf("kafka: list topics: %w", err)
	}
	if err != nil {
		cl.Close()
		return nil, err
	}
	return cl, nil
}

// reach waits until a broker answers, no longer than the settings allow.
func reach(ctx context.Context, cl *kgo.Client, s *settings) error {
	asking, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	brokers := strings.Join(s.Brokers, ", ")
	_, err := kadm.NewClient(cl).BrokerMetadata(asking)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("kafka: %w", ctx.Err())
	case errors.Is(err, kerr.SaslAuthenticationFailed):
		return hinted("check --sasl-user and --sasl-password-file",
			"kafka: %s refused the login: %w", brokers, err)
	case isTLS(err):
		return hinted("check --tls and --tls-ca", "kafka: %s: %w", brokers, err)
	}
	hint := "start Kafka, or name its brokers by --brokers"
	if s.SASLMechanism != "" {
		hint = "check --brokers, --sasl-user and --sasl-password-file"
	} else if s.brokersGiven {
		hint = "check --brokers and that Kafka runs; behind TLS add --tls"
	} else {
		hint += "; tally demo needs none"
	}
	return hinted(hint, "no Kafka broker answers at %s within %v: %s",
		brokers, s.Timeout, rootCause(err))
}

func isTLS(err error) bool {
	var (
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		verify  *tls.CertificateVerificationError
		record  tls.RecordHeaderError
	)
	return errors.As(err, &unknown) || errors.As(err, &name) ||
		errors.As(err, &verify) || errors.As(err, &record)
}

// rootCause is the part of a dialing error that tells the operator something.
func rootCause(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Error()
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer"
	}
	return err.Error()
}
