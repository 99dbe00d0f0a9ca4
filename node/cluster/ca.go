package cluster

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// The lives of certificates. A node asks for a new one when a third of the old
// one's is left.
const (
	caLife   = 10 * 365 * 24 * time.Hour
	certLife = 30 * 24 * time.Hour
	// clockSlack is by how much the clocks of two machines may differ.
	clockSlack = 10 * time.Minute
)

// domain ends the DNS names in nodes' certificates: transcoder.streamgate may act
// as a transcoder, and every node is node.streamgate.
const domain = ".streamgate"

// RoleCA is the role of a node that has the CA's key.
const RoleCA = "ca"

// nodeName is what every node's certificate is good for.
const nodeName = AnyRole + domain

// nodeID is what a node may be called in a certificate.
var nodeID = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)

// CA signs the certificates of a deployment's nodes.
type CA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	now  func() time.Time
}

// ErrNoCA means that a folder holds no CA.
var ErrNoCA = errors.New("there is no CA here")

// The files of a CA in its folder.
const (
	caCertFile = "ca.crt"
	caKeyFile  = "ca.key"
)

// InitCA makes a CA in a folder, which must not hold one.
func InitCA(dir string) (*CA, error) {
	if _, err := os.Stat(filepath.Join(dir, caKeyFile)); err == nil {
		return nil, fmt.Errorf("%s holds a CA already; remove it only if no node of the deployment is to go on", dir)
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "StreamGate CA"},
		NotBefore: now.Add(-clockSlack), NotAfter: now.Add(caLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	secret, err := keyPEM(key)
	if err != nil {
		return nil, err
	}
	if err := writeFile(filepath.Join(dir, caCertFile), certPEM(der), 0o644); err != nil {
		return nil, err
	}
	return &CA{cert: cert, key: key, now: time.Now}, writeFile(filepath.Join(dir, caKeyFile), secret, 0o600)
}

// LoadCA reads the CA of a folder. ErrNoCA.
func LoadCA(dir string) (*CA, error) {
	key, err := readKey(filepath.Join(dir, caKeyFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNoCA, dir)
	} else if err != nil {
		return nil, err
	}
	certs, err := readCerts(filepath.Join(dir, caCertFile))
	if err != nil {
		return nil, err
	}
	ca := &CA{cert: certs[0], key: key, now: time.Now}
	if !ca.cert.IsCA || !key.PublicKey.Equal(ca.cert.PublicKey) {
		return nil, fmt.Errorf("%s and %s in %s do not belong together", caCertFile, caKeyFile, dir)
	}
	return ca, nil
}

// Fingerprint is the SHA-256 of the CA's certificate, in hexadecimal.
func (ca *CA) Fingerprint() string { return fingerprint(ca.cert) }

// Issue signs a certificate for a node's key and roles, which its names say.
func (ca *CA) Issue(key crypto.PublicKey, id string, roles []string) (der []byte, err error) {
	if !nodeID.MatchString(id) {
		return nil, fmt.Errorf("%q cannot be the id of a node", id)
	}
	now := ca.now()
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: id},
		NotBefore: now.Add(-clockSlack), NotAfter: now.Add(certLife),
		DNSNames:    append([]string{nodeName}, dnsNames(roles)...),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	return x509.CreateCertificate(rand.Reader, template, ca.cert, key, ca.key)
}

// sign answers a request of a node that may have these roles: its certificate and
// the CA's, in PEM.
func (ca *CA) sign(csr *x509.CertificateRequest, may []string) ([]byte, error) {
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("the request is not signed with its own key: %w", err)
	}
	want := rolesOf(csr.DNSNames)
	for _, role := range want {
		if !slices.Contains(may, role) {
			return nil, fmt.Errorf("the token is for %s, and the node has the role %s; make one with streamgate ca token --role %s",
				strings.Join(may, ", "), role, strings.Join(want, ","))
		}
	}
	der, err := ca.Issue(csr.PublicKey, csr.Subject.CommonName, want)
	if err != nil {
		return nil, err
	}
	return append(certPEM(der), certPEM(ca.cert.Raw)...), nil
}

// dnsNames are the names of roles in a certificate.
func dnsNames(roles []string) []string {
	var names []string
	for _, role := range roles {
		names = append(names, role+domain)
	}
	return names
}

// rolesOf are the roles that a certificate's names allow.
func rolesOf(names []string) []string {
	var roles []string
	for _, name := range names {
		if role, ok := strings.CutSuffix(name, domain); ok && name != nodeName {
			roles = append(roles, role)
		}
	}
	return roles
}

func fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:])
}

func newKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

func serial() *big.Int {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return new(big.Int).SetBytes(b[:])
}

func certPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
