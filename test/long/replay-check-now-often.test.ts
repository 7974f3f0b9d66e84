// As in the integration tier, and more often.
import './often';
import './replay-check-now.test';
