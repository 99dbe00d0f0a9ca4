package cluster

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"
)

// What the CA's node answers. Both take a joinRequest and answer with a chain in
// PEM.
const (
	JoinPath  = "/cluster/join"  // with a token, without a certificate
	RenewPath = "/cluster/renew" // with a certificate, without a token
)

// maxJoin bounds a request, bytes.
const maxJoin = 32 << 10

// Handler signs for those who may join, and renews for those who have.
func (ca *CA) Handler(log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+JoinPath, func(w http.ResponseWriter, r *http.Request) {
		ca.answer(w, r, log, func(req joinRequest) (roles []string, id string, err error) {
			roles, err = ca.check(req.Token)
			return roles, "", err
		})
	})
	mux.HandleFunc("POST "+RenewPath, func(w http.ResponseWriter, r *http.Request) {
		ca.answer(w, r, log, func(joinRequest) ([]string, string, error) {
			peer := Peer(r)
			if peer == nil {
				return nil, "", errors.New("a certificate that has not expired is needed; join again with a token")
			}
			return rolesOf(peer.DNSNames), peer.Subject.CommonName, nil
		})
	})
	return mux
}

// answer signs a request as far as may allows: roles, and, if it is not "", the
// only id.
func (ca *CA) answer(w http.ResponseWriter, r *http.Request, log *slog.Logger, may func(joinRequest) (roles []string, id string, err error)) {
	var req joinRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxJoin)).Decode(&req); err != nil {
		http.Error(w, "The body is not a request to join.", http.StatusBadRequest)
		return
	}
	roles, id, err := may(req)
	var chain []byte
	if err == nil {
		chain, err = ca.signFor([]byte(req.CSR), roles, id)
	}
	if err != nil {
		log.Warn("a node was refused a certificate", "from", r.RemoteAddr, "err", err)
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	certs, err := parseCerts(chain)
	if err != nil {
		http.Error(w, "The certificate cannot be read.", http.StatusInternalServerError)
		return
	}
	log.Info("a node has a certificate", "from", r.RemoteAddr, "node", certs[0].Subject.CommonName, "roles", rolesOf(certs[0].DNSNames), "expires", certs[0].NotAfter)
	w.Header().Set("Content-Type", "application/x-pem-file")
	w.Write(chain) // the node may have gone
}

func (ca *CA) signFor(csr []byte, roles []string, id string) ([]byte, error) {
	if id == "" {
		return ca.signPEM(csr, roles)
	}
	parsed, err := parseCSR(csr)
	if err != nil {
		return nil, err
	}
	if parsed.Subject.CommonName != id {
		return nil, fmt.Errorf("node %s asks for a certificate of node %s", id, parsed.Subject.CommonName)
	}
	return ca.sign(parsed, roles)
}

func (ca *CA) signPEM(csr []byte, roles []string) ([]byte, error) {
	parsed, err := parseCSR(csr)
	if err != nil {
		return nil, err
	}
	return ca.sign(parsed, roles)
}

func parseCSR(data []byte) (*x509.CertificateRequest, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return nil, errors.New("there is no certificate request in PEM")
	}
	return x509.ParseCertificateRequest(block.Bytes)
}

// Peer is the verified certificate of who sent a request over ServerTLS; nil if it
// came without one.
func Peer(r *http.Request) *x509.Certificate {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return nil
	}
	return r.TLS.VerifiedChains[0][0]
}

// renewEvery is how often a node looks whether its certificate is old.
const renewEvery = time.Hour

// Renew keeps the certificate fresh until ctx is done: by ca on the node that has
// it, else by a node of the role "ca" through pool.
func (i *Identity) Renew(ctx context.Context, ca *CA, pool *Pool, log *slog.Logger) error {
	if i.dir == "" { // the operator's own
		return nil
	}
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		if i.old(time.Now()) {
			if err := i.renew(ctx, ca, pool); err != nil {
				log.Error("the node's certificate could not be renewed; it is tried again every hour", "expires", i.expires(), "err", err)
			} else {
				log.Info("the node's certificate was renewed", "expires", i.expires())
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// old tells whether a third of the certificate's life, or less, is left.
func (i *Identity) old(now time.Time) bool { return i.expires().Sub(now) < certLife/3 }

func (i *Identity) expires() time.Time {
	i.mu.RLock()
	defer i.mu.RUnlock()
	return i.expiry
}

func (i *Identity) renew(ctx context.Context, ca *CA, pool *Pool) error {
	return i.obtain(func(csr []byte) ([]byte, error) {
		if ca != nil {
			return ca.signPEM(csr, i.roles)
		}
		client := &http.Client{Timeout: askLimit, Transport: pool.Transport(RoleCA)}
		return post(ctx, client, "https://"+RoleCA+domain+RenewPath, joinRequest{CSR: string(csr)})
	})
}
