// Package packaging tests what StreamGate is installed with, as those who install it
// read it: the manifests with the types and the builder of Kubernetes, the compose
// files with the library of docker compose, the units with systemd's own check. It is
// a module of its own, so that the product depends on none of that.
package packaging
