// What tests of signatures need: a registry with the referrers API, which distribution 2.8 has not; a key pair as cosign makes one;
// and the published library that verifies bundles, called as cosign calls it.
package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"cuelabs.dev/go/oci/ociregistry/ocimem"
	"cuelabs.dev/go/oci/ociregistry/ociserver"
	"github.com/secure-systems-lab/go-securesystemslib/encrypted"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
)

func main() {
	log.SetFlags(0)
	switch arguments := os.Args[2:]; os.Args[1] {
	case "registry":
		serve()
	case "key-pair":
		keyPair(arguments[0], arguments[1], os.Getenv("COSIGN_PASSWORD"))
	case "verify-digest":
		sum, err := hex.DecodeString(arguments[2])
		must(err)
		verifyBundle(arguments[0], arguments[1], verify.WithArtifactDigest("sha256", sum))
	case "verify-file":
		file, err := os.Open(arguments[2])
		must(err)
		verifyBundle(arguments[0], arguments[1], verify.WithArtifact(file))
	}
}

// serve prints the address, on a free port of the loopback, and serves a registry that is kept in memory.
func serve() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	fmt.Println(listener.Addr())
	must(http.Serve(listener, ociserver.New(ocimem.New(), nil)))
}

// keyPair writes what `cosign generate-key-pair` writes; cosign's own marshalKeyPair consists of the same calls.
func keyPair(private, public, password string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	must(err)
	sealed, err := encrypted.Encrypt(der, []byte(password))
	must(err)
	write(private, "ENCRYPTED SIGSTORE PRIVATE KEY", sealed)
	der, err = x509.MarshalPKIXPublicKey(key.Public())
	must(err)
	write(public, "PUBLIC KEY", der)
}

func write(path, kind string, data []byte) {
	must(os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}), 0o600))
}

// verifyBundle prints what was verified as JSON; with the options of `cosign verify --key … --insecure-ignore-tlog`.
func verifyBundle(keyPath, path string, artifact verify.ArtifactPolicyOption) {
	text, err := os.ReadFile(keyPath)
	must(err)
	key, err := cryptoutils.UnmarshalPEMToPublicKey(text)
	must(err)
	loaded, err := signature.LoadVerifier(key, crypto.SHA256)
	must(err)
	material := root.NewTrustedPublicKeyMaterial(func(string) (root.TimeConstrainedVerifier, error) {
		return root.NewExpiringKey(loaded, time.Time{}, time.Time{}), nil
	})
	verifier, err := verify.NewVerifier(material, verify.WithNoObserverTimestamps())
	must(err)
	entity, err := bundle.LoadJSONFromPath(path)
	must(err)
	result, err := verifier.Verify(entity, verify.NewPolicy(artifact, verify.WithKey()))
	must(err)
	must(json.NewEncoder(os.Stdout).Encode(result))
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
