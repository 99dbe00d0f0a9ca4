package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"

	"streamgate/store"
)

// Remove implements Registry.
func (c *Consul) Remove(ctx context.Context, id, boot string) error {
	ctx, cancel := context.WithTimeout(ctx, 4*callLimit)
	defer cancel()
	entries, _, err := c.client.Health().Service(c.prefix, "", false, query(ctx))
	if err != nil {
		return failure("read the nodes from Consul", err)
	}
	entries = slices.DeleteFunc(entries, func(e *api.ServiceEntry) bool { return e.Service.Meta[metaID] != id })
	other := func(e *api.ServiceEntry) bool {
		return e.Service.Meta[metaBoot] != boot && e.Checks.AggregatedStatus() == api.HealthPassing
	}
	if slices.ContainsFunc(entries, other) {
		return fmt.Errorf("node %s has been started again: %w", id, store.ErrNotFound)
	}
	held, err := c.endClaim(ctx, id, boot)
	if err != nil {
		return err
	}
	if len(entries) == 0 && !held {
		return fmt.Errorf("node %s: %w", id, store.ErrNotFound)
	}
	for _, e := range entries {
		err = errors.Join(err, c.deregister(ctx, e))
	}
	if err != nil {
		return err
	}
	_, err = c.readNodes(ctx, 0, 0)
	return err
}

// endClaim frees the identity of a boot, or of any; it tells whether it was held.
func (c *Consul) endClaim(ctx context.Context, id, boot string) (held bool, err error) {
	holder, _, err := c.holder(ctx, id, 0, 0)
	if err != nil || holder == nil || boot != "" && readClaim(holder).Boot != boot {
		return false, err
	}
	_, err = c.client.Session().Destroy(holder.Session, writing(ctx))
	return true, failure("end the session of a node that is dead", err)
}

// deregister removes the services of a node: from the catalog, and from our agent if
// it has them, since an agent tells Consul again of what only the catalog has lost.
func (c *Consul) deregister(ctx context.Context, e *api.ServiceEntry) error {
	var errs []error
	roles := strings.Split(e.Service.Meta[metaRoles], ",")
	for _, role := range append(roles, "") {
		service := c.service(e.Service.Meta[metaID], role)
		err := c.client.Agent().ServiceDeregisterOpts(service, query(ctx))
		if !isStatus(err, http.StatusNotFound, "") {
			errs = append(errs, failure("deregister the node in Consul", err))
		}
		_, err = c.client.Catalog().Deregister(&api.CatalogDeregistration{Node: e.Node.Node, ServiceID: service}, writing(ctx))
		if !isStatus(err, http.StatusInternalServerError, "Unknown service ID") { // with access control that is an error
			errs = append(errs, failure("deregister the node in Consul's catalog", err))
		}
	}
	return errors.Join(errs...)
}
