// As in the integration tier, but more often.
import './often';
import '../integration/properties.test';
