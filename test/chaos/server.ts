// The HTTP server as `npm run server` starts it, plus what breaks it.
import './failpoints';
import '../../client/server';
