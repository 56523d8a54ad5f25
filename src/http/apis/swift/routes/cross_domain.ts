/** `/crossdomain.xml`: pages of all origins may send requests, in the form that Flash and Silverlight ask for. */

import type { FastifyInstance } from 'fastify'

const policy = `<?xml version="1.0"?>
<!DOCTYPE cross-domain-policy SYSTEM "http://www.adobe.com/xml/dtds/cross-domain-policy.dtd" >
<cross-domain-policy>
<allow-access-from domain="*" secure="false" />
</cross-domain-policy>`

export function addCrossDomainPolicy(app: FastifyInstance): void {
  app.get('/crossdomain.xml', async (_request, reply) => reply.type('application/xml').send(policy))
}
