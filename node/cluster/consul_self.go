package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"reflect"
	"strconv"
	"time"

	"github.com/hashicorp/consul/api"
)

// self is what Consul has of this node.
type self struct {
	id, boot string // claimed; "" if not
	session  string // that holds the claim; "" if it has ended
	load     float64
	instance *Instance // announced; nil if not
}

// loadStep is how finely a load is told: a smaller change writes nothing.
const loadStep = 0.05

// Claim takes an identity for a boot of the node, before anybody is told of it.
// While another boot has it, Claim waits: for as long as the session of one that
// has died may last, then it fails with ErrDuplicate.
func (c *Consul) Claim(ctx context.Context, id, boot string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.claim(ctx, id, boot)
}

// claim is Claim for whoever has the lock.
func (c *Consul) claim(ctx context.Context, id, boot string) error {
	if c.self.session != "" && c.self.id == id && c.self.boot == boot {
		return nil
	}
	// Consul ends a session at twice its TTL, and may have a new leader, which
	// counts anew.
	if err := c.take(ctx, id, boot, time.Now().Add(c.opts.TTL*5/2)); err != nil {
		return err
	}
	c.self.id, c.self.boot = id, boot
	return nil
}

// take writes the claim, trying until then if another boot has it.
func (c *Consul) take(ctx context.Context, id, boot string, until time.Time) error {
	for {
		err := c.openSession(ctx, id)
		if err != nil {
			return err
		}
		taken, err := c.write(ctx, id, claim{Boot: boot, Place: c.opts.Place, Load: c.self.load})
		if taken || err != nil {
			return err
		}
		if err := c.contend(ctx, id, boot, until); err != nil {
			return err
		}
	}
}

func (c *Consul) openSession(ctx context.Context, id string) error {
	if c.self.session != "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	session, _, err := c.client.Session().CreateNoChecks(&api.SessionEntry{
		Name: c.prefix + " " + id, TTL: c.opts.TTL.String(), Behavior: api.SessionBehaviorDelete,
		LockDelay: time.Millisecond, // what it locks is the name, and needs no time to settle
	}, writing(ctx))
	c.self.session = session
	return failure("open a session of Consul", err)
}

// write puts the claim under the session; false if another has it, or if the
// session has ended, which the next one will not.
func (c *Consul) write(ctx context.Context, id string, value claim) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	text, err := json.Marshal(value)
	if err != nil {
		return false, err
	}
	ok, _, err := c.client.KV().Acquire(&api.KVPair{Key: c.key(id), Value: text, Session: c.self.session}, writing(ctx))
	if isStatus(err, http.StatusInternalServerError, "invalid session") {
		c.self.session = ""
		return false, nil
	}
	return ok, failure("claim the node's identity in Consul", err)
}

// contend looks who has the claim: one that is known to be dead loses it, for
// another it waits a little.
func (c *Consul) contend(ctx context.Context, id, boot string, until time.Time) error {
	holder, index, err := c.holder(ctx, id, 0, 0)
	switch {
	case err != nil:
		return err
	case holder == nil: // given up in between, or Consul's delay before it may be taken
		if !sleep(ctx, jittered(20*time.Millisecond)) {
			return ctx.Err()
		}
		return nil
	}
	has := readClaim(holder)
	if has.Boot == boot || c.opts.Place != "" && has.Place == c.opts.Place {
		// The answer to our own call was lost; or that boot was where we are, and
		// cannot be there any more.
		ctx, cancel := context.WithTimeout(ctx, callLimit)
		defer cancel()
		_, err := c.client.Session().Destroy(holder.Session, writing(ctx))
		return failure("end the session of a node that is dead", err)
	}
	left := time.Until(until)
	if left <= 0 {
		return fmt.Errorf("%w: node %s, boot %s; a copy of its data_dir was started: stop one, or remove the file node-id from the copy", ErrDuplicate, id, has.Boot)
	}
	if c.opts.Held != nil {
		c.opts.Held(has.Boot)
	}
	_, _, err = c.holder(ctx, id, index, min(left, waitLimit))
	return err
}

// holder reads who has the claim, once there is something newer than index; nil if
// nobody.
func (c *Consul) holder(ctx context.Context, id string, index uint64, wait time.Duration) (*api.KVPair, uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, wait+wait/8+callLimit)
	defer cancel()
	options := waiting(ctx, index, wait)
	options.AllowStale, options.RequireConsistent = false, true
	pair, meta, err := c.client.KV().Get(c.key(id), options)
	if err != nil {
		return nil, 0, failure("read who has the node's identity in Consul", err)
	}
	if pair == nil || pair.Session == "" {
		return nil, meta.LastIndex, nil
	}
	return pair, meta.LastIndex, nil
}

func (c *Consul) key(id string) string { return c.prefix + "/nodes/" + id }

// Announce implements Registry. It claims the identity if that was not done.
func (c *Consul) Announce(ctx context.Context, instance Instance) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.claim(ctx, instance.ID, instance.Boot); err != nil {
		return err
	}
	if err := c.tellLoad(ctx, instance.Load); err != nil {
		return err
	}
	instance.Load = 0
	if c.self.instance != nil && reflect.DeepEqual(*c.self.instance, instance) {
		return nil
	}
	if err := c.register(ctx, &instance); err != nil {
		return err
	}
	c.self.instance = &instance
	c.named.Store(&instance.ID)
	return nil
}

// announced is the ID under which the node is announced; "" if it is not.
func (c *Consul) announced() string {
	if id := c.named.Load(); id != nil {
		return *id
	}
	return ""
}

// tellLoad writes the load if it is another one.
func (c *Consul) tellLoad(ctx context.Context, load float64) error {
	load = math.Round(load/loadStep) * loadStep
	if load == c.self.load {
		return nil
	}
	ok, err := c.write(ctx, c.self.id, claim{Boot: c.self.boot, Place: c.opts.Place, Load: load})
	if err != nil {
		return err
	}
	if ok { // else the session has ended, and the next renewal sees to it
		c.self.load = load
	}
	return nil
}

// register makes the node's services: that of the node, then those of its roles.
func (c *Consul) register(ctx context.Context, i *Instance) error {
	ctx, cancel := context.WithTimeout(ctx, 2*callLimit)
	defer cancel()
	service := api.AgentServiceRegistration{ID: c.service(i.ID, ""), Name: c.prefix, Tags: i.Roles, Meta: writeMeta(i)}
	if i.Addr != "" {
		host, port, err := net.SplitHostPort(i.Addr)
		if err == nil {
			service.Address = host
			service.Port, err = strconv.Atoi(port)
		}
		if err != nil {
			return fmt.Errorf("announce the address %q: %w", i.Addr, err)
		}
	}
	service.Check = &api.AgentServiceCheck{
		CheckID: c.check(i.ID), Name: "the node says that it lives", TTL: c.opts.TTL.String(), Status: api.HealthPassing,
	}
	if err := c.registerOne(ctx, service); err != nil {
		return err
	}
	for _, role := range i.Roles {
		follows := service
		follows.ID, follows.Name, follows.Tags = c.service(i.ID, role), c.prefix+"-"+role, nil
		follows.Check = &api.AgentServiceCheck{
			CheckID: follows.ID, Name: "the node's own check", AliasService: service.ID, Status: api.HealthPassing,
		}
		if err := c.registerOne(ctx, follows); err != nil {
			return err
		}
	}
	return nil
}

func (c *Consul) registerOne(ctx context.Context, service api.AgentServiceRegistration) error {
	service.Check.DeregisterCriticalServiceAfter = deregisterAfter.String()
	opts := api.ServiceRegisterOpts{ReplaceExistingChecks: true}.WithContext(ctx)
	return failure("register "+service.Name+" in Consul", c.client.Agent().ServiceRegisterOpts(&service, opts))
}

// service is the id of a node's service for a role, or of the node itself.
func (c *Consul) service(id, role string) string {
	if role == "" {
		return c.prefix + "-node-" + id
	}
	return c.prefix + "-" + role + "-" + id
}

func (c *Consul) check(id string) string { return c.service(id, "") + "-alive" }

// renew says that the node lives. What Consul has forgotten it is told again.
func (c *Consul) renew(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.self.id == "" {
		return nil
	}
	if err := c.renewSession(ctx); err != nil || c.self.instance == nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	err := c.client.Agent().UpdateTTLOpts(c.check(c.self.id), "", api.HealthPassing, query(ctx))
	if isStatus(err, http.StatusNotFound, "") || isStatus(err, http.StatusInternalServerError, "associated TTL") {
		return c.register(ctx, c.self.instance)
	}
	return failure("say to Consul that the node lives", err)
}

// renewSession keeps the claim, or takes it again if its session has ended. By then
// another boot may have it: it is the one that counts.
func (c *Consul) renewSession(ctx context.Context) error {
	calling, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	if c.self.session != "" {
		entry, _, err := c.client.Session().Renew(c.self.session, writing(calling))
		if err != nil {
			return failure("renew the session of Consul", err)
		}
		if entry != nil {
			return nil
		}
		c.self.session = ""
	}
	return c.take(ctx, c.self.id, c.self.boot, time.Now())
}

// Withdraw implements Registry, and gives the identity up.
func (c *Consul) Withdraw(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	gone := c.self
	c.self = self{} // whatever Consul says: nothing is renewed any more
	c.named.Store(nil)
	if gone.id == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*callLimit)
	defer cancel()
	var errs []error
	if gone.instance != nil {
		for _, role := range append([]string{""}, gone.instance.Roles...) {
			err := c.client.Agent().ServiceDeregisterOpts(c.service(gone.id, role), query(ctx))
			if !isStatus(err, http.StatusNotFound, "") {
				errs = append(errs, failure("deregister the node in Consul", err))
			}
		}
	}
	if gone.session != "" {
		_, err := c.client.Session().Destroy(gone.session, writing(ctx))
		errs = append(errs, failure("give the node's identity up in Consul", err))
	}
	return errors.Join(errs...)
}
