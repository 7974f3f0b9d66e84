// As in the integration tier, and more often.
import './often';
import '../integration/properties.test';
