package cluster

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Identity is a node's certificate, by which others know its roles, and the CA by
// which it knows others.
type Identity struct {
	id    string
	roles []string
	dir   string // of files that are ours to renew; "" for the operator's own

	mu     sync.RWMutex
	cert   *tls.Certificate
	roots  *x509.CertPool
	expiry time.Time
}

// IdentityConfig says where a node's certificate is, or comes from.
type IdentityConfig struct {
	ID    string
	Roles []string
	// Dir keeps what the built-in CA signs.
	Dir string
	// CA is the CA itself, on the node that has it; else nil.
	CA *CA
	// Token asks for the first certificate; "" if there is none to ask with.
	Token string
	// CAFile, CertFile and KeyFile are the operator's own, all or none.
	CAFile, CertFile, KeyFile string
}

// The files of an identity in its folder.
const (
	nodeFile  = "node.pem" // key, certificate and the CA's in one, so that they are replaced at once
	rootsFile = "ca.crt"
)

// ErrNoCertificate means that a node has no certificate and no way to get one.
var ErrNoCertificate = errors.New("this node has no certificate")

// NewIdentity reads the node's certificate, or gets its first one.
func NewIdentity(ctx context.Context, cfg IdentityConfig) (*Identity, error) {
	i := &Identity{id: cfg.ID, roles: cfg.Roles, dir: cfg.Dir}
	if cfg.CertFile != "" {
		i.dir = ""
		return i, i.load(cfg.CAFile, cfg.CertFile, cfg.KeyFile)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	err := i.loadOwn()
	if err == nil && time.Now().Before(i.expiry) && i.allows(cfg.Roles) && (cfg.CA == nil || i.allows([]string{RoleCA})) {
		return i, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return i, i.first(ctx, cfg)
}

// first gets a certificate without having one.
func (i *Identity) first(ctx context.Context, cfg IdentityConfig) error {
	if cfg.CA != nil {
		i.roles = append([]string{RoleCA}, cfg.Roles...)
		return i.obtain(func(csr []byte) ([]byte, error) { return cfg.CA.signPEM(csr, i.roles) })
	}
	if cfg.Token == "" {
		return fmt.Errorf("%w for the roles %v: make a join token with streamgate ca token on the node that has the CA and set cluster.join_token, "+
			"or begin a deployment with streamgate ca init", ErrNoCertificate, cfg.Roles)
	}
	token, err := ParseToken(cfg.Token)
	if err != nil {
		return err
	}
	return i.obtain(func(csr []byte) ([]byte, error) { return token.ask(ctx, cfg.Token, csr) })
}

// obtain makes a key, has it signed and keeps both.
func (i *Identity) obtain(sign func(csr []byte) ([]byte, error)) error {
	key, err := newKey()
	if err != nil {
		return err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: i.id}, DNSNames: dnsNames(i.roles),
	}, key)
	if err != nil {
		return err
	}
	chain, err := sign(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
	if err != nil {
		return err
	}
	certs, err := parseCerts(chain)
	if err != nil {
		return err
	}
	secret, err := keyPEM(key)
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(i.dir, rootsFile), certPEM(certs[len(certs)-1].Raw), 0o644); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(i.dir, nodeFile), append(secret, chain...), 0o600); err != nil {
		return err
	}
	return i.loadOwn()
}

func (i *Identity) loadOwn() error {
	file := filepath.Join(i.dir, nodeFile)
	return i.load(filepath.Join(i.dir, rootsFile), file, file)
}

func (i *Identity) load(rootsPath, certPath, keyPath string) error {
	roots, err := readCerts(rootsPath)
	if err != nil {
		return err
	}
	chain, err := readCerts(certPath)
	if err != nil {
		return err
	}
	key, err := readKey(keyPath)
	if err != nil {
		return err
	}
	if !key.PublicKey.Equal(chain[0].PublicKey) {
		return fmt.Errorf("%s and %s do not belong together", certPath, keyPath)
	}
	cert := &tls.Certificate{PrivateKey: key, Leaf: chain[0]}
	for _, c := range chain {
		cert.Certificate = append(cert.Certificate, c.Raw)
	}
	pool := x509.NewCertPool()
	for _, c := range roots {
		pool.AddCert(c)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.cert, i.roots, i.expiry = cert, pool, chain[0].NotAfter
	return nil
}

// allows tells whether the certificate is good for roles.
func (i *Identity) allows(roles []string) bool {
	leaf := i.certificate().Leaf
	for _, name := range append(dnsNames(roles), nodeName) {
		if leaf.VerifyHostname(name) != nil {
			return false
		}
	}
	return true
}

// Check tells whether the certificate is good for all of the node's roles.
func (i *Identity) Check() error {
	if !i.allows(i.roles) {
		return fmt.Errorf("the node's certificate has the names %v, and its roles need %v too", i.certificate().Leaf.DNSNames, append(dnsNames(i.roles), nodeName))
	}
	return nil
}

func (i *Identity) certificate() *tls.Certificate {
	i.mu.RLock()
	defer i.mu.RUnlock()
	return i.cert
}

// key signs what the node says.
func (i *Identity) key() *ecdsa.PrivateKey {
	key, _ := i.certificate().PrivateKey.(*ecdsa.PrivateKey)
	return key
}

func (i *Identity) pool() *x509.CertPool {
	i.mu.RLock()
	defer i.mu.RUnlock()
	return i.roots
}

// ServerTLS is for what other nodes call. A client without a certificate gets no
// further than Join.
func (i *Identity) ServerTLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{"h2", "http/1.1"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return &tls.Config{
				MinVersion: tls.VersionTLS13, NextProtos: []string{"h2", "http/1.1"},
				Certificates: []tls.Certificate{*i.certificate()},
				ClientAuth:   tls.VerifyClientCertIfGiven, ClientCAs: i.pool(),
			}, nil
		},
	}
}

// ClientTLS is for calls to nodes of a role; "" for any node.
func (i *Identity) ClientTLS(role string) *tls.Config {
	name := nodeName
	if role != "" {
		name = role + domain
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: name, RootCAs: i.pool(),
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return i.certificate(), nil },
	}
}

// RouteTLS is for the routes of the event bus, both ways.
func (i *Identity) RouteTLS() *tls.Config {
	cfg := i.ClientTLS("")
	cfg.Certificates = []tls.Certificate{*i.certificate()}
	cfg.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return i.certificate(), nil }
	cfg.ClientAuth, cfg.ClientCAs = tls.RequireAndVerifyClientCert, i.pool()
	return cfg
}

// askLimit bounds one request to the CA's node.
const askLimit = 10 * time.Second

// joinRequest is the body of Join and Renew.
type joinRequest struct {
	Token string `json:"token,omitempty"`
	CSR   string `json:"csr"` // PEM
}

// ask has a request signed by the CA that the token names.
func (t *Token) ask(ctx context.Context, text string, csr []byte) ([]byte, error) {
	client := &http.Client{Timeout: askLimit, Transport: &http.Transport{TLSClientConfig: &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, // VerifyConnection checks more: the pinned CA
		VerifyConnection:   func(state tls.ConnectionState) error { return t.pinned(state.PeerCertificates, time.Now()) },
	}}}
	defer client.CloseIdleConnections()
	var errs []error
	for _, addr := range t.Addrs {
		chain, err := post(ctx, client, "https://"+addr+JoinPath, joinRequest{Token: text, CSR: string(csr)})
		if err == nil {
			return chain, nil
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("join the deployment: %w", errors.Join(errs...))
}

// maxChain bounds the answer of the CA's node, bytes.
const maxChain = 64 << 10

func post(ctx context.Context, client *http.Client, url string, body joinRequest) ([]byte, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxChain))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s: %s", url, resp.Status, bytes.TrimSpace(answer))
	}
	return answer, nil
}
