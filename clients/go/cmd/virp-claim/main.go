// Command virp-claim asks an O-Node whether a BGP session is Established, and checks the proofs of the answer itself.
//
// Exit status: 0 CONFIRMED, 1 any other verdict, 2 it could not be asked or the evidence does not hold. Only 0 may be acted on.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	verifyv1 "virp.dev/api/verify/v1"
)

type options struct {
	onode, certificate, key, roots, server, trust, router, peer string
	negate                                                      bool
	timeout                                                     time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.onode, "onode", "localhost:8443", "HOST:PORT of the O-Node")
	flag.StringVar(&o.certificate, "cert", "reader.crt", "PEM file, this client's certificate")
	flag.StringVar(&o.key, "key", "reader.key", "PEM file, its private key")
	flag.StringVar(&o.roots, "roots", "ca.crt", "PEM file, authorities of the O-Node's certificate")
	flag.StringVar(&o.server, "server", "", "SPIFFE id that the O-Node has to have, or one that ends in /* for any name of a role")
	flag.StringVar(&o.trust, "trust", "chain.keys", "file of the chain's verifier keys, one on a line")
	flag.StringVar(&o.router, "router", "", "registered name of the router")
	flag.StringVar(&o.peer, "peer", "", "address of its peer")
	flag.BoolVar(&o.negate, "negate", false, "claim that the session is in another state")
	flag.DurationVar(&o.timeout, "timeout", 10*time.Second, "how long it may take")
	flag.Parse()
	confirmed, err := ask(o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "virp-claim:", err)
		os.Exit(2)
	}
	if !confirmed {
		os.Exit(1)
	}
}

func ask(o options) (bool, error) {
	trust, err := readTrust(o.trust)
	if err != nil {
		return false, err
	}
	config, err := tlsConfig(o)
	if err != nil {
		return false, err
	}
	connection, err := grpc.NewClient(o.onode, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		return false, err
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), o.timeout)
	defer cancel()
	response, err := verifyv1.NewVerifyServiceClient(connection).VerifyClaim(ctx, &verifyv1.VerifyClaimRequest{
		Claim:      &verifyv1.Claim{Claim: &verifyv1.Claim_Peer{Peer: &verifyv1.PeerClaim{Router: o.router, PeerAddress: o.peer, Negate: o.negate}}},
		Acceptance: &verifyv1.Acceptance{ChainLevel: verifyv1.ChainLevel_CHAIN_LEVEL_CHECKPOINTED},
	})
	if err != nil {
		return false, err
	}
	return say(response.GetAnswer(), trust)
}

func say(answer *verifyv1.ClaimAnswer, trust note.Verifiers) (bool, error) {
	proven, err := checkAnswer(answer, trust)
	if err != nil {
		return false, fmt.Errorf("the evidence does not hold: %w", err)
	}
	verdict := strings.TrimPrefix(answer.GetVerdict().String(), "VERDICT_")
	if answer.GetReason() != "" {
		verdict += " (" + answer.GetReason() + ")"
	}
	fmt.Printf("%s: %s\nproven entries: %v\n", verdict, answer.GetExplanation(), proven)
	return answer.GetVerdict() == verifyv1.Verdict_VERDICT_CONFIRMED, nil
}

// tlsConfig is mutual TLS 1.2 or later; besides roots and name, each handshake looks at the server's SPIFFE id.
func tlsConfig(o options) (*tls.Config, error) {
	own, err := tls.LoadX509KeyPair(o.certificate, o.key)
	if err != nil {
		return nil, err
	}
	pem, err := os.ReadFile(o.roots)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: no certificate in it", o.roots)
	}
	config := &tls.Config{Certificates: []tls.Certificate{own}, RootCAs: roots, MinVersion: tls.VersionTLS12}
	if o.server != "" {
		config.VerifyConnection = func(state tls.ConnectionState) error { return isServer(state.PeerCertificates[0], o.server) }
	}
	return config, nil
}

func isServer(certificate *x509.Certificate, expected string) error {
	if len(certificate.URIs) != 1 || certificate.URIs[0].Scheme != "spiffe" {
		return errors.New("the server's certificate has not one SPIFFE id")
	}
	shown := certificate.URIs[0].String()
	role, any := strings.CutSuffix(expected, "*")
	name, ofRole := strings.CutPrefix(shown, role)
	if shown == expected || (any && strings.HasSuffix(role, "/") && ofRole && name != "" && !strings.Contains(name, "/")) {
		return nil
	}
	return fmt.Errorf("the server is %s, not %s", shown, expected)
}
