// An identity provider that is OpenID Certified, on the loopback: prints its address, then every request for authorisation as a
// line of JSON, until it is ended. Its pages are its own: whoever types the name of a person there is that person.
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';

const { people, app, client, secret } = JSON.parse(process.argv[2]);
const { default: Provider } = await import(createRequire(`${process.cwd()}/`).resolve('oidc-provider'));

const configuration = {
  clients: [
    {
      client_id: client,
      client_secret: secret,
      redirect_uris: [`${app}/oauth2callback`],
      post_logout_redirect_uris: [`${app}/oauth2callback`],
    },
  ],
  jwks: { keys: [generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' })] },
  cookies: { keys: [secret] },
  claims: { openid: ['sub'], profile: ['name', 'roles', 'clinics'], email: ['email'] },
  conformIdTokenClaims: false, // the claims of a scope are in the identity token, where the app reads them
  findAccount: (_, id) => people[id] && { accountId: id, claims: () => ({ sub: id, ...people[id] }) },
  // The clinic's own app: nobody is asked whether it may know their name.
  loadExistingGrant: async ({ oidc }) => {
    const grant = new oidc.provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.account.accountId });
    grant.addOIDCScope('openid profile email');
    await grant.save();
    return grant;
  },
};

const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const provider = new Provider(`http://localhost:${server.address().port}`, configuration);
  provider.use((context, next) => {
    if (context.path === '/auth') console.log(JSON.stringify(context.query));
    return next();
  });
  server.on('request', provider.callback());
  console.log(provider.issuer);
});
