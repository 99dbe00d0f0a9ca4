package identities

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	"streamgate/app/rpc"
	"streamgate/store"
)

const (
	keyPrefix  = "sg_" // lets secret scanners recognise a leaked key
	maxKeyName = 100   // characters
	maxBearer  = 200   // bytes; our keys have 54
)

// CreateKey implements rpc.AccessHandler.
func (i *Service) CreateKey(ctx context.Context, req *rpc.CreateKeyRequest) (*rpc.Key, error) {
	if err := rpc.Require(ctx, rpc.ScopeAdmin); err != nil {
		return nil, err
	}
	if utf8.RuneCountInString(req.Name) > maxKeyName || strings.ContainsFunc(req.Name, unicode.IsControl) {
		return nil, rpc.Invalid("invalid_name", "The name must have at most %d characters and no control characters.", maxKeyName)
	}
	if _, ok := rpc.ParseScope(req.Scope); !ok {
		return nil, rpc.Invalid("invalid_scope", "There is no scope %q; there are admin, operator, uploader and read.", req.Scope)
	}
	random := rand.Text()
	key := store.Key{
		ID: store.NewID(), Name: req.Name, Scope: req.Scope,
		Hash: hashSecret(random), Created: time.Now().UTC(),
	}
	if err := i.Catalog.Keys.Create(ctx, key); err != nil {
		return nil, fmt.Errorf("create key: %w", err)
	}
	i.Log.InfoContext(ctx, "key created", "key_id", key.ID, "scope", key.Scope)
	out := viewKey(key)
	out.Secret = keyPrefix + key.ID + "_" + random
	return out, nil
}

// ListKeys implements rpc.AccessHandler.
func (i *Service) ListKeys(ctx context.Context, _ *rpc.ListKeysRequest) (*rpc.ListKeysResponse, error) {
	if err := rpc.Require(ctx, rpc.ScopeAdmin); err != nil {
		return nil, err
	}
	out := &rpc.ListKeysResponse{}
	for k, err := range store.All(ctx, i.Catalog.Keys, store.Query{}) {
		if err != nil {
			return nil, fmt.Errorf("list keys: %w", err)
		}
		out.Keys = append(out.Keys, viewKey(k))
	}
	return out, nil
}

// RevokeKey implements rpc.AccessHandler.
func (i *Service) RevokeKey(ctx context.Context, req *rpc.RevokeKeyRequest) (*rpc.RevokeKeyResponse, error) {
	if err := rpc.Require(ctx, rpc.ScopeAdmin); err != nil {
		return nil, err
	}
	if err := i.Catalog.Keys.Delete(ctx, req.Id); err != nil {
		return nil, rpc.NotFound(err, "key", req.Id)
	}
	i.revoked(req.Id)
	i.Log.InfoContext(ctx, "key revoked", "key_id", req.Id)
	return &rpc.RevokeKeyResponse{}, i.KeyRevoked(ctx, req.Id)
}

// splitKey takes "sg_<id>_<random>" apart.
func splitKey(bearer string) (id, random string, ok bool) {
	rest, ok := strings.CutPrefix(bearer, keyPrefix)
	if !ok || len(bearer) > maxBearer {
		return "", "", false
	}
	id, random, ok = strings.Cut(rest, "_")
	return id, random, ok && id != "" && random != ""
}

func hashSecret(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

func viewKey(k store.Key) *rpc.Key {
	return &rpc.Key{Id: k.ID, Name: k.Name, Scope: k.Scope, CreatedAt: timestamppb.New(k.Created)}
}
