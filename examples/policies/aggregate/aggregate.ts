// One answer from two services: a customer's page asks both at once, and does without the orders when they cannot be had.
import { definePolicy, deny, FetchError, param, respond, z } from 'tidegate/policy';

export default definePolicy({
  options: z.object({
    customers: z.string().default('customers'),
    orders: z.string().default('orders'),
  }),

  inputs: { id: param('id') },

  async handle({ inputs: { id = '' }, options, ctx }) {
    const path = `/customers/${encodeURIComponent(id)}`;
    const [customer, orders] = await Promise.all([
      ctx.fetch(options.customers, { path }),
      ctx
        .fetch(options.orders, { path: '/orders', query: { customer: id }, timeout: '500ms' })
        .catch(withoutOrders),
    ]);
    if (customer.status === 404) return deny({ status: 404, reason: 'there is no such customer' });
    // What else it says, it says to the client.
    if (!customer.ok) return customer;
    return respond({
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        customer: customer.json(),
        orders: orders?.ok ? orders.json() : null,
      }),
    });
  },
});

function withoutOrders(error: unknown): undefined {
  if (!(error instanceof FetchError)) throw error;
}
