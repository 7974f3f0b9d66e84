// The HTTP server as `npm run server` starts it, but for what breaks it.
import './failpoints';
import '../../client/server';
